"""Runs in the environment that has s3fs: a bucket with versions, by a file system that knows of them."""

from __future__ import annotations

import os

import s3fs

fs = s3fs.S3FileSystem(version_aware=True, endpoint_url=os.environ["AWS_ENDPOINT_URL"])
fs.mkdir("s3fs-versions")
fs.call_s3("put_bucket_versioning", Bucket="s3fs-versions", VersioningConfiguration={"Status": "Enabled"})
assert fs.is_bucket_versioned("s3fs-versions")

for body in (b"first", b"second"):
    fs.pipe("s3fs-versions/k", body)
newest, oldest = (version["VersionId"] for version in fs.object_version_info("s3fs-versions/k"))
assert fs.cat("s3fs-versions/k") == b"second"
assert fs.cat_file(f"s3fs-versions/k?versionId={oldest}") == b"first"
assert fs.info(f"s3fs-versions/k?versionId={oldest}")["VersionId"] == oldest
with fs.open("s3fs-versions/k", version_id=oldest) as file:
    assert file.read() == b"first"

# A file that was opened stays the version that it was.
with fs.open("s3fs-versions/k") as file:
    assert file.version_id == newest
    fs.pipe("s3fs-versions/k", b"third")
    assert file.read() == b"second"

fs.rm("s3fs-versions/k")
assert not fs.exists("s3fs-versions/k")
assert fs.exists(f"s3fs-versions/k?versionId={newest}")
listed = fs.ls("s3fs-versions", detail=True, versions=True, refresh=True)
assert len({entry["VersionId"] for entry in listed}) == 3, listed
for entry in listed:
    fs.rm_file(f"s3fs-versions/k?versionId={entry['VersionId']}")
markers = fs.call_s3("list_object_versions", Bucket="s3fs-versions")["DeleteMarkers"]
fs.call_s3("delete_object", Bucket="s3fs-versions", Key="k", VersionId=markers[0]["VersionId"])
fs.touch("s3fs-versions/tagged")
fs.put_tags("s3fs-versions/tagged", {"k": "v"})
assert fs.get_tags("s3fs-versions/tagged") == {"k": "v"}
print("all went well")  # noqa: T201  # what the test looks for

"""Regions, as S3 names them, and the locations that buckets have in them.

A bucket's location is what its maker asked for: "" for the server's own region, the name of a region, or an old name.
"""

from __future__ import annotations

#: Where one may create one's own bucket again, and whose location constraint is shown as none.
US_EAST_1 = "us-east-1"

#: All regions of Amazon, in all partitions ("AWS Regions", and the list of location constraints in the S3 API model).
_REGIONS = frozenset(
    {
        "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "ca-west-1", "mx-central-1",
        "sa-east-1", "sa-west-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2",
        "eu-west-1", "eu-west-2", "eu-west-3", "eusc-de-east-1", "ap-east-1", "ap-east-2", "ap-northeast-1",
        "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2",
        "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "af-south-1",
        "il-central-1", "me-central-1", "me-south-1", "me-west-1", "cn-north-1", "cn-northwest-1", "us-gov-east-1",
        "us-gov-west-1", "us-iso-east-1", "us-iso-west-1", "us-isob-east-1", "us-isob-west-1", "us-isof-east-1",
        "us-isof-south-1", "eu-isoe-west-1",
    }
)  # fmt: skip
#: "EU" meant eu-west-1 before there was another region in Europe. It is still taken, and shown as it was sent.
_OLD_NAMES = {"EU": "eu-west-1"}


def is_region(name: str, own: str) -> bool:
    """Whether there is such a region: one of Amazon's, or the server's `own`, which may have any name."""
    return name in _REGIONS or name == own


def is_location(name: str, own: str) -> bool:
    """Whether a bucket may be created with this as its location."""
    return is_region(name, own) or name in _OLD_NAMES


def region_of(location: str, own: str) -> str:
    """The region of a bucket with this location."""
    return _OLD_NAMES.get(location, location) or own


def locations_in(region: str, own: str) -> frozenset[str]:
    """All locations that buckets of a region have."""
    return frozenset(name for name in (region, "", *_OLD_NAMES) if region_of(name, own) == region)

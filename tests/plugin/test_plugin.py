"""The plugin's fixtures, in runs of pytest of their own."""

from __future__ import annotations

import datetime as dt
import importlib
import subprocess
import sys

import pytest

import bleepstore
from bleepstore.testing.clock import Clock

pytest_plugins = ["pytester"]

HEAVY = ("boto3", "botocore", "werkzeug", "apsw", "cattrs", "urllib3", "gunicorn", "bleepstore.store")


@pytest.fixture(scope="module")
def imported() -> None:
    """Modules that were not imported before a run are forgotten after it, and the next one would import them anew."""
    for name in ("boto3", "fsspec", "requests", "werkzeug.serving", "bleepstore_server.app"):
        importlib.import_module(name)


@pytest.fixture
def run(imported: None, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs pytest on the text of a test module."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)

    def run_one(source: str, *options: str, conftest: str = "", in_process: bool = True) -> pytest.RunResult:
        pytester.makepyfile(source)
        if conftest:
            pytester.makeconftest(conftest)
        # The plugins of others that are installed here take most of the time of such a run.
        without = [option for name in ("cacheprovider", "zarr", "hypothesispytest") for option in ("-p", f"no:{name}")]
        run_pytest = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
        return run_pytest("-W", "error", *without, *options)

    return run_one


def test_each_test_has_a_store_of_its_own(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(3))
        def test_isolated(turn, s3_client, s3_bucket, s3_store):
            assert s3_bucket == "test-bucket"
            assert s3_client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0
            s3_client.put_object(Bucket=s3_bucket, Key="k", Body=b"1")
            assert s3_store.get_object(s3_bucket, "k").read() == b"1"
        """
    ).assert_outcomes(passed=3)


def test_the_code_under_test_makes_its_own_client(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import os
        import boto3
        import pytest

        def save(data):
            boto3.client("s3").put_object(Bucket="test-bucket", Key="saved", Body=data)

        def test_save(s3_client, s3_bucket):
            save(b"data")
            assert s3_client.get_object(Bucket=s3_bucket, Key="saved")["Body"].read() == b"data"

        def test_save_without_a_client(s3_in_process, s3_bucket):
            save(b"data")
            assert s3_in_process.get_object(s3_bucket, "saved").read() == b"data"

        def test_afterwards():
            assert "AWS_ACCESS_KEY_ID" not in os.environ
        """
    ).assert_outcomes(passed=3)


def test_a_server_is_in_the_environment_and_ready(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import os
        import subprocess
        import sys

        SCRIPT = "import boto3; boto3.client('s3').put_object(Bucket='test-bucket', Key='k', Body=b'from afar')"

        def test_server(s3_server, s3_bucket, s3_store):
            assert os.environ["AWS_ENDPOINT_URL"] == s3_server.url
            subprocess.run([sys.executable, "-c", SCRIPT], check=True)
            assert s3_store.get_object(s3_bucket, "k").read() == b"from afar"

        def test_server_and_client_share_the_store(s3_server, s3_client, s3_bucket):
            s3_client.put_object(Bucket=s3_bucket, Key="k", Body=b"1")
            with s3_server.client() as far:
                assert far.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"1"

        def test_afterwards():
            assert "AWS_ENDPOINT_URL" not in os.environ
        """.replace("with s3_server.client() as far:", "for far in [s3_server.client()]:")
        + "\n"
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize("how", ["option", "ini"])
def test_a_wider_scope_is_an_option(run, pytester: pytest.Pytester, how: str) -> None:  # type: ignore[no-untyped-def]
    source = """
        def test_first(s3_store, s3_bucket):
            assert s3_bucket == "test-bucket"
            s3_store.put_object(s3_bucket, "k", b"1")

        def test_second(s3_store, s3_bucket, s3_client):
            assert s3_bucket == "test-bucket-2"
            assert s3_client.get_object(Bucket="test-bucket", Key="k")["Body"].read() == b"1"
        """
    if how == "ini":
        pytester.makeini("[pytest]\nbleepstore_scope = module\n")
        run(source).assert_outcomes(passed=2)
        run(source, "--bleepstore-scope=function").assert_outcomes(passed=1, failed=1)
    else:
        run(source, "--bleepstore-scope=session").assert_outcomes(passed=2)


def test_the_bytes_can_be_on_disk(run) -> None:  # type: ignore[no-untyped-def]
    source = """
        def test_where(s3_store, s3_client, s3_bucket, tmp_path):
            s3_client.put_object(Bucket=s3_bucket, Key="k", Body=bytes(100_000))
            assert s3_store.path is None or list(s3_store.path.glob("blobs/*/*"))
            print("path", s3_store.path is not None)
        """
    assert "path True" in run(source, "--bleepstore-backend=local", "-s").stdout.str()
    assert "path False" in run(source, "-s").stdout.str()


@pytest.mark.parametrize("backend", ["memory", "local"])
def test_every_test_has_a_fork_of_the_seed(run, backend: str) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(2))
        def test_seeded(turn, s3_store, s3_client):
            assert s3_store.path is None
            assert s3_client.list_objects_v2(Bucket="seeded")["KeyCount"] == 50
            s3_client.delete_object(Bucket="seeded", Key="key-7")
        """,
        conftest=f"""
        import bleepstore
        import pytest

        @pytest.fixture(scope="session")
        def s3_seed(tmp_path_factory):
            path = None if {backend!r} == "memory" else tmp_path_factory.mktemp("seed") / "store"
            with bleepstore.open(path) as store:
                store.create_bucket("seeded")
                for number in range(50):
                    store.put_object("seeded", f"key-{{number}}", bytes(70_000))
                yield store
        """,
    ).assert_outcomes(passed=2)


def test_any_key_is_an_option(run, pytester: pytest.Pytester) -> None:  # type: ignore[no-untyped-def]
    """Clients that are made when the code under test is imported, with a key that it made up."""
    source = """
        import boto3
        import requests

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        EARLY = boto3.client("s3", **keys)

        def test_first(s3_client, s3_bucket, s3_store):
            EARLY.put_object(Bucket=s3_bucket, Key="k", Body=b"1")
            url = EARLY.generate_presigned_url("get_object", {"Bucket": s3_bucket, "Key": "k"})
            assert requests.get(url).content == b"1"
            assert s3_client.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"1"

        def test_second(s3_in_process):
            assert EARLY.list_buckets()["Buckets"] == []
        """
    run(source).assert_outcomes(failed=2)
    pytester.makeini("[pytest]\nbleepstore_accept_any_key = true\n")
    run(source).assert_outcomes(passed=2)


def test_a_file_system_of_the_store_before_is_forgotten(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import fsspec
        import pytest

        kept = []

        @pytest.mark.parametrize("number", range(2))
        def test_it(s3_store, number):
            s3_store.create_bucket("photos")
            fs = fsspec.filesystem("bleepstore", store=s3_store)
            fs.pipe("photos/k", b"1")
            kept.append(fs)

        def test_nothing_is_remembered():
            assert not type(kept[0])._cache
        """
    ).assert_outcomes(passed=3)


def test_faults_and_the_clock_are_fixtures(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import datetime as dt
        import pytest
        from botocore.exceptions import ClientError
        from bleepstore_server.faults import Refuse

        def test_fault(s3_client, s3_bucket, s3_faults, s3_server):
            with s3_faults.inject(Refuse(403, "AccessDenied", "No.")):
                for client in (s3_client, s3_server.client()):
                    with pytest.raises(ClientError):
                        client.list_buckets()
            s3_client.list_buckets()

        def test_clock(s3_client, s3_bucket, s3_clock):
            s3_clock.advance(days=365)
            s3_client.put_object(Bucket=s3_bucket, Key="k", Body=b"")
            age = s3_client.head_object(Bucket=s3_bucket, Key="k")["LastModified"] - dt.datetime.now(dt.UTC)
            assert age > dt.timedelta(days=364)
        """
    ).assert_outcomes(passed=2)


def test_workers_of_xdist_do_not_meet(run) -> None:  # type: ignore[no-untyped-def]
    run(
        """
        import pytest

        @pytest.mark.parametrize("turn", range(12))
        def test_isolated(turn, s3_server, s3_client, s3_bucket):
            assert s3_bucket == "test-bucket"
            s3_server.client().put_object(Bucket=s3_bucket, Key="k", Body=b"%d" % turn)
            assert s3_client.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"%d" % turn
        """,
        "-n2",
        "--bleepstore-backend=local",
    ).assert_outcomes(passed=12)


def test_a_failing_test_shows_what_is_in_the_store(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        def test_fails(s3_client, s3_bucket):
            for number in range(25):
                s3_client.put_object(Bucket=s3_bucket, Key=f"key-{number:02d}", Body=b"12345")
            s3_client.create_multipart_upload(Bucket=s3_bucket, Key="unfinished")
            assert False

        def test_fails_with_an_empty_store(s3_store):
            assert False

        def test_fails_without_a_store():
            assert False

        def test_fails_with_a_closed_store(s3_store):
            s3_store.close()
            assert False

        def test_passes(s3_store):
            s3_store.create_bucket("not-shown")
        """
    )
    result.assert_outcomes(failed=4, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*What is in s3_store*",
            "test-bucket/",
            "    'key-00'  5 bytes  etag 827ccb0eea8a706c4c34a16891f84e7b",
            "    ...",
            "    'unfinished'  multipart upload under way",
            "*What is in s3_store*",
            "no buckets",
            "*What is in s3_store*",
            "it cannot be read: The store was closed*",
        ]
    )
    text = result.stdout.str()
    assert text.count("What is in s3_store") == 3
    assert "key-20" not in text
    assert "not-shown" not in text


def test_a_failing_set_up_or_teardown_shows_it_too(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import pytest

        @pytest.fixture
        def bad_set_up(s3_client):
            s3_client.create_bucket(Bucket="set-up")
            raise ValueError

        @pytest.fixture
        def bad_teardown(s3_client):
            yield
            s3_client.create_bucket(Bucket="teardown")
            raise ValueError

        def test_set_up(s3_client, bad_set_up):
            pass

        def test_teardown(bad_teardown):
            pass

        @pytest.fixture
        def bad_at_once():
            raise ValueError

        def test_before_there_is_a_store(bad_at_once, s3_client):
            pass
        """
    )
    result.assert_outcomes(passed=1, errors=3)
    result.stdout.fnmatch_lines(
        [
            "*What is in s3_store*",
            "set-up/    (empty)",
            "*What was in s3_store*",
            "teardown/    (empty)",
        ]
    )
    assert result.stdout.str().count("in s3_store -") == 2


def test_a_failing_test_shows_why_requests_were_denied(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import json
        import pytest
        from botocore.exceptions import ClientError

        def policy(bucket):
            statement = {"Sid": "NoReads", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
                         "Resource": f"arn:aws:s3:::{bucket}/*"}
            return json.dumps({"Version": "2012-10-17", "Statement": statement})

        @pytest.mark.parametrize("wrong", [False, True])
        def test_reads(s3_client, s3_bucket, wrong):
            s3_client.put_bucket_policy(Bucket=s3_bucket, Policy=policy(s3_bucket))
            with pytest.raises(ClientError):
                s3_client.get_object(Bucket=s3_bucket, Key="k")
            assert not wrong
        """
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*What s3_store denied*",
            "GetObject was denied.",
            "s3:GetObject on arn:aws:s3:::test-bucket/k is denied to bleepstore.",
            "*statement 1 (NoReads) that decides.",
        ]
    )
    assert result.stdout.str().count("What s3_store denied") == 1


@pytest.mark.parametrize("setting", ["scope", "backend"])
def test_a_wrong_setting_is_explained_before_anything_runs(run, pytester: pytest.Pytester, setting: str) -> None:  # type: ignore[no-untyped-def]
    pytester.makeini(f"[pytest]\nbleepstore_{setting} = forever\n")
    result = run("def test_it():\n    pass\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stdout.str() + result.stderr.str()
    assert f"ERROR: bleepstore_{setting}: 'forever' is not one of " in said
    assert "Traceback" not in said


def test_a_fixture_names_the_extras_that_it_needs(run) -> None:  # type: ignore[no-untyped-def]
    fixtures = ("s3_client", "s3_server", "s3_in_process")
    source = "\n".join(f"def test_{fixture}({fixture}): pass" for fixture in fixtures)
    result = run(source, conftest="import sys\nsys.modules['werkzeug'] = None\n", in_process=False)
    result.assert_outcomes(errors=3)
    for fixture in fixtures:
        result.stdout.fnmatch_lines(
            [f"*test_{fixture}*", "*needs the package werkzeug: pip install 'bleepstore[[]server*"]
        )


def test_the_list_of_fixtures_reads_well(run) -> None:  # type: ignore[no-untyped-def]
    text = run("", "--fixtures").stdout.str()
    for name in (
        "s3_store",
        "s3_client",
        "s3_bucket",
        "s3_server",
        "s3_in_process",
        "s3_faults",
        "s3_clock",
        "s3_seed",
    ):
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert "bleepstore_server/pytest_plugin.py" in line
        following = text.splitlines()[text.splitlines().index(line) + 1]
        assert following.startswith("    ")
        assert len(following) < 140
    assert "no docstring available" not in text.partition("s3_")[2].partition("pytest_plugin")[0]


def test_the_plugin_alone_loads_nothing_heavy() -> None:
    script = (
        "import sys, pytest\n"
        "class Plugin:\n"
        "    def pytest_sessionfinish(self):\n"
        "        print('LOADED', *sys.modules)\n"
        "pytest.main(['-q', '-p', 'no:cacheprovider', '--co', '/dev/null'], plugins=[Plugin()])\n"
    )
    text = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    loaded = text.partition("LOADED")[2].split()
    assert "bleepstore_server.pytest_plugin" in loaded
    assert [name for name in loaded if name in HEAVY] == []


def test_with_a_seed_a_test_sees_the_same_ids_and_times_in_each_run(run, pytester) -> None:  # type: ignore[no-untyped-def]
    pytester.makeini("[pytest]\nbleepstore_random_seed = 7\n")
    source = """
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_it(s3_client, s3_bucket, s3_clock, number):
            upload = s3_client.create_multipart_upload(Bucket=s3_bucket, Key="k")
            answer = s3_client.put_object(Bucket=s3_bucket, Key="k", Body=b"1")
            assert answer["ResponseMetadata"]["HTTPHeaders"]["date"] == "Wed, 01 Jan 2025 00:00:00 GMT"
            assert s3_clock.now.microsecond == 3000
            assert (upload["UploadId"], answer["ResponseMetadata"]["RequestId"]) == ("UPLOAD", "REQUEST")
    """
    with bleepstore.open(random_seed=7) as store:
        store.create_bucket("test-bucket")
        upload_id = store.create_upload("test-bucket", "k").upload_id
    run(source.replace("UPLOAD", upload_id).replace("REQUEST", "6513270E269E0D37")).assert_outcomes(passed=2)
    pytester.makeini("[pytest]\nbleepstore_random_seed = 7\nbleepstore_backend = local\n")
    assert "bleepstore_random_seed: it is for the backend memory alone" in run(source).stderr.str()


def test_with_a_seed_forks_of_what_was_filled_once_are_the_same_in_any_order(run, pytester) -> None:  # type: ignore[no-untyped-def]
    pytester.makeini("[pytest]\nbleepstore_random_seed = 7\n")
    source = """
        import bleepstore
        import pytest

        @pytest.fixture(scope="session")
        def s3_seed():
            with bleepstore.open(SEED) as store:
                store.create_bucket("filled")
                yield store

        @pytest.mark.parametrize("number", range(2))
        def test_it(s3_store, number):
            assert s3_store.create_upload("filled", "k").upload_id == "UPLOAD"
    """
    with bleepstore.open(random_seed=7) as store:
        store.create_bucket("filled")
        with store.fork(clock=Clock(dt.datetime(2025, 1, 1, tzinfo=dt.UTC))) as fork:
            upload_id = fork.create_upload("filled", "k").upload_id
    seeded = source.replace("UPLOAD", upload_id)
    run(seeded.replace("SEED", "random_seed=7")).assert_outcomes(passed=2)
    assert "s3_seed has to be opened with random_seed=7, too" in run(seeded.replace("SEED", "")).stdout.str()


def test_the_policy_of_an_application_is_enough_or_not(run) -> None:  # type: ignore[no-untyped-def]
    result = run(
        """
        import json

        import boto3
        import pytest
        from botocore.exceptions import ClientError

        POLICY = {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::test-bucket/in/*"},
            {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"},
        ]}

        def save(key):  # the code under test
            boto3.client("s3").put_object(Bucket="test-bucket", Key=key, Body=b"1")

        def test_it_is_enough(s3_user, s3_bucket, s3_client):
            client = s3_user(POLICY)
            save("in/a")
            client.put_object(Bucket=s3_bucket, Key="in/b", Body=b"2")
            assert s3_client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 2
            with pytest.raises(ClientError, match="AccessDenied"):
                client.get_object(Bucket=s3_bucket, Key="in/a")
            s3_user(json.dumps(POLICY))

        def test_it_is_not_enough(s3_user, s3_bucket):
            s3_user(POLICY)
            save("out/a")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*What s3_store denied*",
            "s3:PutObject on arn:aws:s3:::test-bucket/out/a is denied to arn:aws:iam::bleepstore:user/test-user-*",
            "No policy of the user allows it*",
            "*policy: statement 1 (Allow) does not apply: its resources do not include *out/a",
        ]
    )

"""`bleepstore serve` and `bleepstore keys`, as people use them."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from botocore.exceptions import ClientError, ConnectionClosedError

from bleepstore_server.app_config import ConfigError
from bleepstore_server.config import load_config
from tests.serving.conftest import ACCESS_KEY, SECRET_KEY, Served, clean_environment
from tests.serving.forking import run_command

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Serve = Callable[..., Served]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_command(arguments, clean_environment(**environ))


def pasted(banner: str, secret: str = "") -> S3Client:
    """The client that the line for boto3 makes, where somebody types `secret` if it asks."""
    line = re.search(r"boto3       (boto3\.client\(.*\))\n", banner)
    assert line is not None
    client: S3Client = eval(line[1], {"boto3": boto3, "input": lambda _question: secret})
    return client


def pasted_in_shell(banner: str, **environ: str) -> list[str]:
    """What `aws` gets to see (key, secret, region, arguments) of the line for the AWS CLI."""
    line = re.search(r"AWS CLI     (.*)\n", banner)
    assert line is not None
    shown = 'aws() { printf "%s\\n" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_REGION" "$@"; }\n'
    command = ["bash", "-eu", "-c", shown + line[1]]
    result = subprocess.run(
        command, env=clean_environment(**environ), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def refusal(client: S3Client) -> str:
    with pytest.raises(ClientError) as refused:
        client.list_buckets()
    return refused.value.response["Error"]["Code"]


def test_the_first_start_makes_keys_and_the_printed_lines_work(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    first = serve(keys=False, data=folder)
    pasted(first.banner).create_bucket(Bucket="photos")
    access_key, secret_key = re.findall(r"(?:access|secret) key  (\S+)", first.banner)
    paste = [access_key, secret_key, "us-east-1", "--endpoint-url"]
    assert pasted_in_shell(first.banner) == [*paste, first.url, "s3", "ls"]
    assert first.stop() == 0
    second = serve(keys=False, data=folder)
    assert secret_key not in second.banner
    assert re.findall(r"access key  (.*)", second.banner) == [access_key]
    names = [bucket["Name"] for bucket in pasted(second.banner, secret_key).list_buckets()["Buckets"]]
    assert names == ["photos"]
    assert pasted_in_shell(second.banner) == [*paste, second.url, "s3", "ls"]
    shown = run("keys", "list", "--data", str(folder), "--show-secrets").stdout
    assert shown.split() == [access_key, "enabled", "bleepstore", "bleepstore", secret_key]


def test_a_store_in_memory_makes_keys_too(serve: Serve, tmp_path: Path) -> None:
    served = serve("--data", ":memory:", keys=False)
    pasted(served.banner).create_bucket(Bucket="photos")
    pair = re.findall(r"(?:access|secret) key  (\S+)", served.banner)
    assert pasted_in_shell(served.banner)[:2] == pair
    other = serve("--data", ":memory:", keys=False)
    assert refusal(other.client(*pair)) == "InvalidAccessKeyId"
    assert refusal(served.client("bleepstore", "bleepstore-secret")) == "InvalidAccessKeyId"


def test_the_lines_to_paste_do_not_show_what_is_configured(serve: Serve, tmp_path: Path) -> None:
    configured = serve().banner
    assert SECRET_KEY not in configured
    assert pasted_in_shell(configured, BLEEPSTORE_SECRET_KEY=SECRET_KEY)[:2] == [ACCESS_KEY, SECRET_KEY]
    assert pasted(configured, SECRET_KEY).list_buckets()["Buckets"] == []
    secret_file = tmp_path / "the secret"
    secret_file.write_text("from a file\n")
    filed = serve("--access-key", "filed", "--secret-key-file", str(secret_file), keys=False, data=tmp_path / "filed")
    assert "from a file" not in filed.banner
    assert pasted_in_shell(filed.banner)[:2] == ["filed", "from a file"]
    assert pasted(filed.banner, "from a file").list_buckets()["Buckets"] == []


def test_a_store_whose_keys_are_all_disabled_says_how_to_get_in(serve: Serve, tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    assert run("keys", "add", *data, "--access-key", "carol").returncode == 0
    assert run("keys", "disable", *data, "--access-key", "carol").returncode == 0
    served = serve(keys=False)
    command = re.search(r"none is enabled yet: `(.*)` makes", served.banner)
    assert command is not None
    assert subprocess.run(command[1], shell=True, check=False, capture_output=True, timeout=60).returncode == 0
    access_key, secret_key = pasted_in_shell(served.banner)[:2]
    assert served.client(access_key, secret_key).list_buckets()["Buckets"] == []


def test_https_lines_name_the_certificate(serve: Serve, certificate: Path) -> None:
    served = serve("--data", ":memory:", keys=False, certificate=certificate)
    assert pasted(served.banner).list_buckets()["Buckets"] == []
    assert pasted_in_shell(served.banner)[-4:] == ["--ca-bundle", str(certificate), "s3", "ls"]


def test_two_starts_make_different_secrets(serve: Serve, tmp_path: Path) -> None:
    banners = [serve(keys=False, data=tmp_path / name).banner for name in ("a", "b")]
    secrets = [re.findall(r"secret key  (\S+)", banner)[0] for banner in banners]
    assert secrets[0] != secrets[1]
    assert min(len(secret) for secret in secrets) == 40


def test_configured_keys_are_accepted_and_leave_with_the_configuration(serve: Serve) -> None:
    first = serve()
    assert first.client().list_buckets()["Buckets"] == []
    assert SECRET_KEY not in first.banner
    assert refusal(first.client(secret_key="wrong")) == "SignatureDoesNotMatch"
    first.stop()
    assert refusal(serve(keys=False).client()) == "InvalidAccessKeyId"


def test_the_well_known_keys_work_only_when_asked_for(serve: Serve, tmp_path: Path) -> None:
    pair = ("bleepstore", "bleepstore-secret")
    assert refusal(serve(keys=False).client(*pair)) == "InvalidAccessKeyId"
    asked = serve("--allow-well-known-key", "--data", ":memory:", keys=False)
    assert asked.client(*pair).list_buckets()["Buckets"] == []
    assert pasted(asked.banner).list_buckets()["Buckets"] == []


@pytest.mark.parametrize(
    ("arguments", "environ", "named"),
    [
        (["--port", "abc"], {}, "--port: 'abc'"),
        (["--port", "65536"], {}, "port: 65536 is not between 0 and 65535"),
        ([], {"BLEEPSTORE_THREADS": "0"}, "threads: 0 is not at least 1"),
        ([], {"BLEEPSTORE_PROT": "1"}, "BLEEPSTORE_PROT: there is no such setting"),
        ([], {"BLEEPSTORE_ACCESS_KEY": "a"}, "access_key and secret_key"),
        (["--tls-cert", "x.pem"], {}, "tls_cert and tls_key"),
        (["--tls-cert", "x.pem", "--tls-key", "y"], {}, "tls_cert: there is no file x.pem"),
        (["--trusted-proxies", "10.0.0.1,nowhere"], {}, "trusted_proxies: 'nowhere'"),
        (["--domains", "s3.example.com:80"], {}, "domains: 's3.example.com:80'"),
        (["--data", ":memory:", "--workers", "2"], {}, "workers: a store in memory"),
        (["--secret-key-file", "none"], {}, "--secret-key-file: none cannot be read"),
        (["--secret-key-file", "none"], {"BLEEPSTORE_SECRET_KEY": "s"}, "secret_key and secret_key_file"),
        (["--config", "missing.toml"], {}, "missing.toml cannot be read"),
        (["--host", "203.0.113.1", "--data", ":memory:"], {}, "host and port: cannot listen"),
    ],
)
def test_a_bad_setting_is_named(arguments: list[str], environ: dict[str, str], named: str) -> None:
    result = run("serve", *arguments, **environ)
    assert result.returncode == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_refused_even_by_another_of_our_servers(serve: Serve, tmp_path: Path) -> None:
    port = str(serve().port)
    result = run("serve", "--data", str(tmp_path / "other"), "--port", port)
    assert result.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr


def test_sigterm_lets_a_request_end_and_takes_no_other(serve: Serve) -> None:
    server = serve("--workers", "2")
    server.client().create_bucket(Bucket="photos")
    url = server.client().generate_presigned_url("put_object", Params={"Bucket": "photos", "Key": "slow"})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("PUT", url.partition(str(server.port))[2])
    connection.putheader("Content-Length", "10")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    connection.send(b"01234")  # the server is in the middle of the body from here on
    ready = threading.Event()

    def finish() -> None:
        while True:  # until the listening sockets are gone
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", server.port)) != 0:
                    break
        ready.set()
        connection.send(b"56789")

    thread = threading.Thread(target=finish)
    thread.start()
    server.process.terminate()
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    thread.join()
    assert ready.is_set()
    assert server.stop() == 0
    connection.close()
    again = serve()
    with again.client().get_object(Bucket="photos", Key="slow")["Body"] as body:
        assert body.read() == b"0123456789"


def test_sigterm_does_not_wait_for_those_who_never_sent_anything(serve: Serve) -> None:
    server = serve("--workers", "1")
    with socket.create_connection(("127.0.0.1", server.port)):
        server.client().list_buckets()  # accepted later than that one
        server.process.terminate()
        assert server.process.wait(timeout=20) == 0  # clients may stall for 30 seconds


def test_settings_come_from_the_file_the_environment_and_flags_in_rising_order(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "bleepstore.toml"
    file.write_text('region = "eu-west-1"\naccess_key = "filed"\nsecret_key = "filed-secret"\nthreads = 2\n')
    server = serve("--config", str(file), keys=False)
    client = server.client("filed", "filed-secret")
    client.create_bucket(Bucket="photos")
    assert client.head_bucket(Bucket="photos")["BucketRegion"] == "eu-west-1"
    overruled = serve("--config", str(file), "--region", "ap-south-1", data=tmp_path / "other")
    client = overruled.client()
    client.create_bucket(Bucket="photos")
    assert client.head_bucket(Bucket="photos")["BucketRegion"] == "ap-south-1"


def test_version_and_help(serve: Serve) -> None:
    assert re.fullmatch(r"bleepstore \d+\.\d+\.\d+\n", run("--version").stdout)
    assert "BLEEPSTORE_TLS_CERT" in run("serve", "--help").stdout


def test_faults_are_on_only_where_they_are_asked_for(serve: Callable[..., Served]) -> None:
    served = serve("--workers", "1", "--faults", "PutObject=slowdown;times=1,DeleteBucket=reset;late=1")
    assert "FAULTS      on purpose: PutObject=slowdown;times=1, DeleteBucket=reset;late=1" in served.banner
    client = served.client(retries={"total_max_attempts": 1})
    client.create_bucket(Bucket="photos")
    with pytest.raises(ClientError, match="SlowDown"):
        client.put_object(Bucket="photos", Key="k", Body=b"1")
    client.put_object(Bucket="photos", Key="k", Body=b"1")
    client.delete_object(Bucket="photos", Key="k")
    with pytest.raises(ConnectionClosedError):
        client.delete_bucket(Bucket="photos")
    assert client.list_buckets()["Buckets"] == []
    client.close()
    with pytest.raises(ConfigError, match=r"faults: .* is not OPERATIONS=FAULT"):
        load_config(environ={"BLEEPSTORE_FAULTS": "everything"})
    assert load_config().faults == ()


def test_destinations_of_events_are_names_and_urls() -> None:
    given = "a=https://host/hook?x=1,b=kafka://one:9092,two:9092/topic"
    config = load_config(environ={"BLEEPSTORE_EVENT_DESTINATIONS": given})
    assert config.destinations == {"a": "https://host/hook?x=1", "b": "kafka://one:9092,two:9092/topic"}
    assert "hook" not in repr(config)  # a URL may hold a secret
    for wrong, said in (
        ("https://host/", "name=URL"),
        ("a=ftp://host/", "a: events cannot be sent to 'ftp'"),
        ("a=http://host/,a=http://other/", "two of the name a"),
        ("a=https://user:password@host/", "a webhook is https://host/path"),
    ):
        with pytest.raises(ConfigError, match=said) as refused:
            load_config(environ={"BLEEPSTORE_EVENT_DESTINATIONS": wrong})
        assert "password" not in str(refused.value)


def test_forms_may_be_signed_with_the_configured_key(serve: Serve) -> None:
    s3 = serve().client()
    s3.create_bucket(Bucket="photos")
    form = s3.generate_presigned_post("photos", "k")
    assert requests.post(form["url"], data=form["fields"], files={"file": b"data"}, timeout=60).status_code == 204
    assert s3.get_object(Bucket="photos", Key="k")["Body"].read() == b"data"

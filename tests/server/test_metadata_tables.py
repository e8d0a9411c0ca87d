"""Metadata configurations of buckets: made once, changed in parts, shown with tables that are not there, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from bleepstore.configurations import METADATA_TABLES, SHAPES, ConfigurationKind
from tests.server.conftest import Server
from tests.server.test_stored_configurations import compared
from tests.server.tools import Wire, failure

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "arn:aws:kms:us-east-1:111122223333:key/k"
ROLE = "arn:aws:iam::111122223333:role/annotates"
TABLES = "arn:aws:s3tables:us-east-1:111122223333:bucket/tables"
FULL: dict[str, Any] = {
    "JournalTableConfiguration": {
        "RecordExpiration": {"Expiration": "ENABLED", "Days": 30},
        "EncryptionConfiguration": {"SseAlgorithm": "aws:kms", "KmsKeyArn": KEY},
    },
    "InventoryTableConfiguration": {"ConfigurationState": "ENABLED"},
    "AnnotationTableConfiguration": {"ConfigurationState": "DISABLED", "Role": ROLE},
}
JOURNAL: dict[str, Any] = {"JournalTableConfiguration": {"RecordExpiration": {"Expiration": "DISABLED"}}}
DESTINATION: Any = {"S3TablesDestination": {"TableBucketArn": TABLES, "TableName": "photos_1"}}
FAILED = {
    "TableStatus": "FAILED",
    "Error": {
        "ErrorCode": "NotImplemented",
        "ErrorMessage": "This store keeps the configuration and writes no tables.",
    },
}


@pytest.fixture
def photos(s3: S3Client) -> S3Client:
    s3.create_bucket(Bucket="photos")
    return s3


def create(s3: S3Client, configuration: Any) -> None:
    s3.create_bucket_metadata_configuration(Bucket="photos", MetadataConfiguration=configuration)


def shown(s3: S3Client) -> Any:
    answer = s3.get_bucket_metadata_configuration(Bucket="photos")
    return answer["GetBucketMetadataConfigurationResult"]["MetadataConfigurationResult"]


def test_what_was_given_is_shown_and_that_no_table_is_there(photos: S3Client) -> None:
    create(photos, FULL)
    assert shown(photos) == {
        "DestinationResult": {"TableBucketType": "aws", "TableNamespace": "b_photos"},
        "JournalTableConfigurationResult": {
            **FAILED,
            "TableName": "journal",
            "RecordExpiration": {"Expiration": "ENABLED", "Days": 30},
        },
        "InventoryTableConfigurationResult": {**FAILED, "TableName": "inventory", "ConfigurationState": "ENABLED"},
        "AnnotationTableConfigurationResult": {"ConfigurationState": "DISABLED", "Role": ROLE},
    }


def test_each_table_is_changed_by_itself(photos: S3Client, server: Server) -> None:
    create(photos, {**JOURNAL, "InventoryTableConfiguration": FULL["InventoryTableConfiguration"]})
    photos.update_bucket_metadata_journal_table_configuration(
        Bucket="photos",
        JournalTableConfiguration={"RecordExpiration": {"Expiration": "ENABLED", "Days": 7}},
    )
    photos.update_bucket_metadata_inventory_table_configuration(
        Bucket="photos",
        InventoryTableConfiguration={"ConfigurationState": "DISABLED"},
    )
    photos.update_bucket_metadata_annotation_table_configuration(
        Bucket="photos", AnnotationTableConfiguration={"ConfigurationState": "ENABLED", "Role": ROLE}
    )
    assert server.store.get_bucket_configuration("photos", ConfigurationKind.METADATA) == {
        "JournalTableConfiguration": {"RecordExpiration": {"Expiration": "ENABLED", "Days": 7}},
        "InventoryTableConfiguration": {"ConfigurationState": "DISABLED"},
        "AnnotationTableConfiguration": {"ConfigurationState": "ENABLED", "Role": ROLE},
    }
    assert shown(photos)["JournalTableConfigurationResult"]["RecordExpiration"]["Days"] == 7
    assert shown(photos)["AnnotationTableConfigurationResult"]["TableStatus"] == "FAILED"


def test_encryption_stays_when_the_expiry_of_a_journal_changes(photos: S3Client, server: Server) -> None:
    create(photos, FULL)
    photos.update_bucket_metadata_journal_table_configuration(
        Bucket="photos", JournalTableConfiguration=JOURNAL["JournalTableConfiguration"]
    )
    kept = server.store.get_bucket_configuration("photos", ConfigurationKind.METADATA)["JournalTableConfiguration"]
    assert kept == FULL["JournalTableConfiguration"] | JOURNAL["JournalTableConfiguration"]


def test_a_configuration_is_made_once_and_removed(photos: S3Client) -> None:
    with failure("MetadataConfigurationNotFound", 404):
        shown(photos)
    with failure("MetadataConfigurationNotFound", 404):
        photos.update_bucket_metadata_journal_table_configuration(
            Bucket="photos", JournalTableConfiguration=JOURNAL["JournalTableConfiguration"]
        )
    create(photos, JOURNAL)
    with failure("InvalidBucketState", 409):
        create(photos, FULL)
    photos.delete_bucket_metadata_configuration(Bucket="photos")
    with failure("MetadataConfigurationNotFound", 404):
        photos.delete_bucket_metadata_configuration(Bucket="photos")
    create(photos, FULL)


def test_the_earlier_form_names_a_table(photos: S3Client) -> None:
    with failure("MetadataConfigurationNotFound", 404):
        photos.get_bucket_metadata_table_configuration(Bucket="photos")
    photos.create_bucket_metadata_table_configuration(Bucket="photos", MetadataTableConfiguration=DESTINATION)
    answer = photos.get_bucket_metadata_table_configuration(Bucket="photos")
    assert answer["GetBucketMetadataTableConfigurationResult"] == {
        "MetadataTableConfigurationResult": {
            "S3TablesDestinationResult": {
                **DESTINATION["S3TablesDestination"],
                "TableArn": f"{TABLES}/table/photos_1",
                "TableNamespace": "aws_s3_metadata",
            }
        },
        "Status": "FAILED",
        "Error": FAILED["Error"],
    }
    photos.delete_bucket_metadata_table_configuration(Bucket="photos")
    with failure("MetadataConfigurationNotFound", 404):
        photos.get_bucket_metadata_table_configuration(Bucket="photos")


@pytest.mark.parametrize(
    "journal",
    [
        {"RecordExpiration": {"Expiration": "ENABLED", "Days": 6}},
        {"RecordExpiration": {"Expiration": "ENABLED"}},
        JOURNAL["JournalTableConfiguration"] | {"EncryptionConfiguration": {"SseAlgorithm": "aws:kms"}},
        JOURNAL["JournalTableConfiguration"]
        | {"EncryptionConfiguration": {"SseAlgorithm": "AES256", "KmsKeyArn": KEY}},
    ],
)
def test_what_s3_would_not_take(photos: S3Client, journal: Any) -> None:
    with failure("InvalidArgument", 400):
        create(photos, {"JournalTableConfiguration": journal})


def test_names_that_are_none_of_tables(photos: S3Client) -> None:
    for change in ({"TableBucketArn": "arn:aws:s3:::tables"}, {"TableName": "No"}):
        wrong: Any = {"S3TablesDestination": DESTINATION["S3TablesDestination"] | change}
        with failure("InvalidArgument", 400):
            photos.create_bucket_metadata_table_configuration(Bucket="photos", MetadataTableConfiguration=wrong)


def test_an_update_has_what_may_be_changed_alone(photos: S3Client, server: Server) -> None:
    create(photos, JOURNAL)
    body = (
        b"<JournalTableConfiguration><RecordExpiration><Expiration>DISABLED</Expiration></RecordExpiration>"
        b"<EncryptionConfiguration><SseAlgorithm>AES256</SseAlgorithm></EncryptionConfiguration>"
        b"</JournalTableConfiguration>"
    )
    assert Wire(server.url).send("PUT", "/photos?metadataJournalTable", body).code == "MalformedXML"


def test_the_shapes_are_those_of_the_model_of_s3() -> None:
    model = botocore.session.get_session().get_service_model("s3")
    given = {
        "CreateBucketMetadataConfiguration": ("MetadataConfiguration", SHAPES[ConfigurationKind.METADATA]),
        "CreateBucketMetadataTableConfiguration": (
            "MetadataTableConfiguration",
            SHAPES[ConfigurationKind.METADATA_TABLE],
        ),
        **{f"UpdateBucketMetadata{name}": (name, shape) for name, shape in METADATA_TABLES.items()},
    }
    for operation, (parameter, shape) in given.items():
        theirs = model.operation_model(operation).input_shape
        assert theirs is not None
        for ours, wanted in compared(shape, theirs.members[parameter], parameter):
            assert ours == wanted

"""What the packages export is what `__all__` says, and each error has its branch of the tree."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types

import pytest

import bleepstore
from bleepstore import errors
from bleepstore.errors import BleepStoreError, S3Error

PACKAGES = ("bleepstore", "bleepstore_server")


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_complete_sorted_and_true(name: str) -> None:
    package = importlib.import_module(name)
    exported = list(package.__all__)
    assert exported == sorted(exported), "keep __all__ sorted"
    assert len(exported) == len(set(exported))
    for member in exported:
        assert hasattr(package, member), f"{name}.__all__ names {member}, which does not exist"
    public = {
        member
        for member, value in vars(package).items()
        if not member.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public <= set(exported), f"not in {name}.__all__: {sorted(public - set(exported))}"


@pytest.mark.parametrize("name", PACKAGES)
def test_no_exported_name_hides_a_module(name: str) -> None:
    """`from package import member` gives the same before and after somebody imported a module of the package."""
    package = importlib.import_module(name)
    hidden = {module.name for module in pkgutil.iter_modules(package.__path__)} & set(package.__all__)
    assert all(isinstance(getattr(package, member), types.ModuleType) for member in hidden), hidden
    assert type(package) is types.ModuleType


def test_everything_exported_comes_from_this_project_and_is_documented() -> None:
    for member in bleepstore.__all__:
        value = getattr(bleepstore, member)
        module = inspect.getmodule(value)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert module is not None
            assert module.__name__.startswith("bleepstore"), member


def test_the_records_of_the_public_methods_are_exported() -> None:
    """Whoever calls a method of the store can name the types of what goes in and comes out."""
    mentioned = set()
    for name, method in inspect.getmembers(bleepstore.Store, inspect.isfunction):
        if not name.startswith("_"):
            mentioned |= {str(annotation) for annotation in method.__annotations__.values()}
    text = " ".join(mentioned)
    from bleepstore import commands, model, pages

    for module in (model, pages, commands):
        for name, value in vars(module).items():
            if (
                inspect.isclass(value)
                and value.__module__ == module.__name__
                and name in text.replace("|", " ").split()
            ):
                assert name in bleepstore.__all__, f"{name} is part of the API"


def test_every_error_is_in_the_tree_at_the_top_of_its_module() -> None:
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, BleepStoreError)]
    assert len(classes) > 40
    drawn = errors.__doc__ or ""
    direct = {c.__name__ for c in classes if c.__bases__ in ((S3Error,), (BleepStoreError,))}
    assert {name for name in direct if name not in drawn} == set()


def test_an_error_says_what_it_knows() -> None:
    error = errors.NoSuchKey("photos", "cat.jpg")
    assert error.fields == {"bucket": "photos", "key": "cat.jpg"}
    assert str(error) == "NoSuchKey: The specified key does not exist. (bucket='photos', key='cat.jpg')"
    assert errors.InvalidRequest("Do it otherwise.").message == "Do it otherwise."
    assert str(errors.BlobBusy("h1")) == "blob 'h1' is being read"
    assert str(errors.BlobNotFound("h1")) == "no blob 'h1'"
    for cls in vars(errors).values():
        if inspect.isclass(cls) and issubclass(cls, S3Error):
            assert cls.code, cls
            assert cls.summary.endswith("."), cls

"""Names to local files: paths never reach the network; the hub is a small server on the loopback interface."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import FIRST, SECOND, Hub

from formers.config import PreTrainedConfig
from formers.errors import CorruptFileError, FormersWarning, LoadError, UnsafePathError
from formers.files.resolve import Source, resolve_file, resolve_folder, resolve_single_file


def source(name: str, cache: Path, **options: Any) -> Source:
    return Source.from_kwargs(name, {"cache_dir": cache, "token": False, **options})


# -- the value type ------------------------------------------------------------------------------------------


def test_from_kwargs_takes_what_it_knows_and_leaves_the_rest() -> None:
    kwargs = {
        "cache_dir": "c",
        "force_download": True,
        "local_files_only": True,
        "token": "secret",
        "revision": "refs/pr/3",
        "subfolder": "sub/",
        "_commit_hash": FIRST,
        "output_attentions": True,
    }
    made = Source.from_kwargs("owner/name", kwargs)
    assert kwargs == {"output_attentions": True}
    assert made == Source(
        "owner/name",
        "refs/pr/3",
        "sub",
        "c",
        "secret",
        local_files_only=True,
        force_download=True,
        commit=FIRST,
    )
    assert "secret" not in repr(made)


@pytest.mark.parametrize("option", ["use_auth_token", "resume_download", "mirror", "proxies"])
def test_old_options_are_taken_with_a_warning(option: str) -> None:
    kwargs: dict[str, Any] = {option: "x"}
    with pytest.warns(FutureWarning, match=option):
        made = Source.from_kwargs("owner/name", kwargs)
    assert kwargs == {}
    assert made.token == ("x" if option == "use_auth_token" else None)


def test_two_tokens_are_refused() -> None:
    with pytest.warns(FutureWarning), pytest.raises(ValueError, match="token"):
        Source.from_kwargs("name", {"token": "a", "use_auth_token": "b"})


@pytest.mark.parametrize(
    "options",
    [
        {"subfolder": "../up"},
        {"subfolder": "/etc"},
        {"subfolder": "a\\b"},
        {"revision": "../../x"},
        {"revision": "/x"},
        {"revision": "a\0b"},
    ],
)
def test_options_stay_in_their_place(options: dict[str, str]) -> None:
    with pytest.raises(UnsafePathError, match=r"subfolder|revision"):
        Source.from_kwargs("owner/name", dict(options))


@pytest.mark.parametrize("name", [None, 3, ["a"], b"x".__class__])
def test_a_name_is_a_string_or_a_path(name: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        Source.from_kwargs(name, {})


# -- paths ---------------------------------------------------------------------------------------------------


def test_a_folder_is_itself(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.json").write_text("{}")
    folder = resolve_folder(Source.from_kwargs(tmp_path, {"subfolder": "sub"}), ["config.json"])
    assert folder.path == (tmp_path / "sub").resolve()
    made = Source.from_kwargs(str(tmp_path), {"subfolder": "sub"})
    assert resolve_file(made, "config.json") == folder.path / "config.json"
    assert resolve_file(made, "absent.json") is None
    with pytest.raises(UnsafePathError):
        resolve_file(made, "../x")


def test_a_file_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text("{}")
    made = Source.from_kwargs(str(file), {})
    assert made.single_file == file
    assert resolve_single_file(made) == file
    with pytest.raises(LoadError, match="is a file"):
        resolve_folder(made, ["config.json"])


@pytest.mark.parametrize(
    "name",
    [
        "./absent",
        "/absent/x",
        "a/b/c",
        "../absent",
        "~/models",
        "a\\b",
        "vocab.txt",
        "my.json",
        "",
        "a b",
        "a\0b",
    ],
)
def test_what_looks_like_a_path_is_not_asked_of_the_hub(name: str, hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"does not exist\. It is taken for a path") as caught:
        resolve_folder(source(name, tmp_path), ["config.json"])
    assert repr(name) in str(caught.value)
    assert hub.log == []


def test_a_path_object_is_a_path(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="does not exist"):
        resolve_folder(Source.from_kwargs(Path("owner/name"), {}), ["config.json"])
    assert hub.log == []


def run_alone(program: str, **environment: str) -> dict[str, Any]:
    """The JSON that a program prints in a fresh interpreter whose socket and process events are recorded."""
    prelude = (
        "import json, sys\n"
        "opened = []\n"
        "watched = ('socket.connect', 'socket.getaddrinfo', 'socket.__new__', 'subprocess.Popen')\n"
        "sys.addaudithook(lambda event, args: opened.append(event) if event in watched else None)\n"
    )
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", prelude + program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_path_opens_no_socket_and_imports_no_client(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    answer = run_alone(
        f"""
from formers.files.resolve import Source, resolve_folder
resolve_folder(Source.from_kwargs({str(tmp_path)!r}, {{}}), ["config.json"])
heavy = [name for name in ("huggingface_hub", "torch", "numpy", "dataclasses") if name in sys.modules]
print(json.dumps({{"opened": opened, "heavy": heavy}}))
"""
    )
    assert answer == {"opened": [], "heavy": []}


@pytest.mark.parametrize(
    ("options", "environment"),
    [({"local_files_only": True}, {}), ({}, {"HF_HUB_OFFLINE": "1"}), ({}, {"TRANSFORMERS_OFFLINE": "1"})],
)
def test_offline_opens_no_socket(
    options: dict[str, Any], environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    resolve_folder(source("owner/name", tmp_path / "cache"), ["config.json"])
    answer = run_alone(
        f"""
from formers.files.resolve import Source, resolve_folder
from formers.errors import LoadError
options = {{"cache_dir": {str(tmp_path / "cache")!r}, **{options!r}}}
folder = resolve_folder(Source.from_kwargs("owner/name", dict(options)), ["config.json"])
try:
    resolve_folder(Source.from_kwargs("owner/other", dict(options)), ["config.json"])
except LoadError as error:
    message = str(error)
print(json.dumps({{"opened": opened, "commit": folder.path.name, "message": message}}))
""",
        **environment,
    )
    # The urllib3 of older clients makes a socket when it is imported, to see whether there is IPv6.
    assert set(answer["opened"]) <= {"socket.__new__"}
    assert answer["commit"] == FIRST
    assert next(iter([*environment, *options])) in answer["message"]


# -- the hub -------------------------------------------------------------------------------------------------


def test_a_model_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}", "vocab.txt": b"a\n"})
    wanted = ["config.json", "absent.json", "vocab.txt"]
    folder = resolve_folder(source("owner/name", tmp_path), wanted)
    assert folder.path.name == FIRST
    assert folder.names() == ["config.json", "vocab.txt"]
    hub.log.clear()
    again = source("owner/name", tmp_path)
    assert resolve_folder(again, wanted).path == folder.path
    assert hub.requests() == ["HEAD /owner/name/resolve/main/config.json"]
    assert again.commit_of(folder.path) == FIRST


def test_a_commit_that_is_cached_needs_no_request(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    wanted = ["config.json", "absent.json"]
    resolve_folder(source("owner/name", tmp_path, revision=FIRST), wanted)
    hub.log.clear()
    resolve_folder(source("owner/name", tmp_path, revision=FIRST), wanted)
    assert hub.log == []


def test_a_new_commit_is_noticed_and_all_files_come_from_it(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}", "vocab.txt": b"old"})
    resolve_folder(source("owner/name", tmp_path), ["config.json", "vocab.txt"])
    hub.add("owner/name", {"config.json": b"{}", "vocab.txt": b"new"}, SECOND)
    folder = resolve_folder(source("owner/name", tmp_path), ["config.json", "vocab.txt"])
    assert folder.path.name == SECOND
    assert (folder.path / "vocab.txt").read_bytes() == b"new"
    offline = resolve_folder(source("owner/name", tmp_path, local_files_only=True), ["vocab.txt"])
    assert offline.path == folder.path


def test_telemetry_is_off(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    resolve_folder(source("owner/name", tmp_path), ["config.json"])
    assert all(path.startswith("/owner/name/resolve/") for _, path, _ in hub.log)


def test_subfolders(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"sub/config.json": b"{}"})
    folder = resolve_folder(source("owner/name", tmp_path, subfolder="sub"), ["config.json"])
    assert folder.names() == ["config.json"]
    assert resolve_file(source("owner/name", tmp_path, subfolder="sub"), "config.json") is not None
    assert resolve_file(source("owner/name", tmp_path), "config.json") is None


def test_the_address_of_a_file(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"sub/mine.json": b"{}"})
    address = f"{os.environ['HF_ENDPOINT']}/owner/name/blob/main/sub/mine.json"
    path = resolve_single_file(source(address, tmp_path))
    assert path is not None
    assert path.name == "mine.json"
    with pytest.raises(LoadError, match=r"no file 'other\.json'"):
        resolve_single_file(source(address.replace("sub/mine", "other"), tmp_path))


@pytest.mark.parametrize(
    "address", ["http://example.org/a/b/resolve/main/config.json", "https://huggingface.co/a"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(LoadError, match="not the address of a file on the hub"):
        Source.from_kwargs(address, {})


def test_the_token_is_sent_and_its_absence_explained(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/closed", {"config.json": b"{}"})
    hub.private.add("owner/closed")
    with pytest.raises(LoadError, match=r"owner/closed .*token="):
        resolve_folder(source("owner/closed", tmp_path), ["config.json"])
    resolve_folder(source("owner/closed", tmp_path, token="secret"), ["config.json"])
    assert hub.log[-1][2] == "Bearer secret"


def test_a_gated_model(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/gated", {"config.json": b"{}"})
    hub.gated.add("owner/gated")
    with pytest.raises(LoadError, match="gated: ask for access"):
        resolve_folder(source("owner/gated", tmp_path), ["config.json"])


def test_unknown_repository_revision_and_files(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    with pytest.raises(LoadError, match="owner/absent is neither a local folder nor a model"):
        resolve_folder(source("owner/absent", tmp_path), ["config.json"])
    resolve_folder(source("owner/name", tmp_path), ["config.json"])
    with pytest.raises(LoadError, match=f"no revision 'v9'.*Cached revisions: main, {FIRST}"):
        resolve_folder(source("owner/name", tmp_path, revision="v9"), ["config.json"])
    with pytest.raises(LoadError, match=r"none of the files a\.json, b\.json"):
        resolve_folder(source("owner/name", tmp_path), ["a.json", "b.json"])


def test_an_unreachable_hub_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, tmp_path: Path
) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    resolve_folder(source("owner/name", tmp_path), ["config.json"])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(LoadError, match=r"cannot be reached.*Load it once while the hub can be reached"):
        resolve_folder(source("owner/other", tmp_path), ["config.json"])
    with pytest.warns(FormersWarning, match=r"cannot be reached.*HF_HUB_OFFLINE"):
        folder = resolve_folder(source("owner/name", tmp_path), ["config.json"])
    assert folder.path.name == FIRST
    assert time.monotonic() - start < 10  # huggingface_hub by itself retries for 23 s


def test_a_hub_in_trouble_is_no_reason_to_lose_the_cache(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    resolve_folder(source("owner/name", tmp_path), ["config.json"])
    hub.status = 503
    with pytest.warns(FormersWarning, match="status 503"):
        resolve_folder(source("owner/name", tmp_path), ["config.json"])
    with pytest.raises(LoadError, match=r"force_download=True needs the hub, but .*status 503"):
        resolve_folder(source("owner/name", tmp_path, force_download=True), ["config.json"])


def test_offline_errors_name_the_switch_and_the_cached_revisions(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    resolve_folder(source("owner/name", tmp_path), ["config.json"])
    with pytest.raises(LoadError, match=r"local_files_only=True.*Cached revisions: main"):
        resolve_folder(source("owner/name", tmp_path, local_files_only=True, revision="v2"), ["config.json"])
    with pytest.raises(LoadError, match=r"none of the files other\.json.*local_files_only=True"):
        resolve_folder(source("owner/name", tmp_path, local_files_only=True), ["other.json"])
    assert resolve_file(source("owner/name", tmp_path, local_files_only=True), "other.json") is None


def test_force_download(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}"})
    resolve_folder(source("owner/name", tmp_path), ["config.json"])
    hub.log.clear()
    resolve_folder(source("owner/name", tmp_path, force_download=True), ["config.json"])
    assert "GET /owner/name/resolve/main/config.json" in hub.requests()


@pytest.mark.parametrize("damage", [b"", b"{ }"])
def test_a_damaged_cache_is_repaired_or_reported(damage: bytes, hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b"{}\n"})
    folder = resolve_folder(source("owner/name", tmp_path), ["config.json"])
    (folder.path / "config.json").resolve().write_bytes(damage)
    with pytest.raises(CorruptFileError, match=r"config\.json is damaged.*local_files_only"):
        resolve_folder(source("owner/name", tmp_path, local_files_only=True), ["config.json"])
    folder = resolve_folder(source("owner/name", tmp_path), ["config.json"])
    assert (folder.path / "config.json").read_bytes() == b"{}\n"


def test_a_download_of_other_content_is_deleted(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b'{"a": 1}'})
    hub.corrupt["config.json"] = b'{"a": 2}'
    with pytest.raises(CorruptFileError, match="SHA-256"):
        resolve_folder(source("owner/name", tmp_path), ["config.json"])
    assert not list(tmp_path.rglob("config.json"))
    hub.corrupt.clear()
    folder = resolve_folder(source("owner/name", tmp_path), ["config.json"])
    assert (folder.path / "config.json").read_bytes() == b'{"a": 1}'


def test_a_configuration_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/name", {"config.json": b'{"story": 1}', "sub/config.json": b'{"story": 2}'})
    options: dict[str, Any] = {"cache_dir": tmp_path, "token": False}
    config = PreTrainedConfig.from_pretrained("owner/name", **options)
    assert (config.story, config.name_or_path, config._commit_hash) == (1, "owner/name", FIRST)
    assert PreTrainedConfig.from_pretrained("owner/name", subfolder="sub", **options).story == 2
    assert "_commit_hash" not in config.to_dict()
    with pytest.raises(LoadError, match=r"none of the files other/config\.json"):
        PreTrainedConfig.from_pretrained("owner/name", subfolder="other", **options)

"""The Hugging Face Hub, played by a server of our own: no network is needed."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnx
import pytest
from running import CARD, Capture, content, done, refused

import spiq
from small_mobilenet import model_path
from spiq.cli import main
from spiq.convert import convert
from spiq.errors import ConfigError
from spiq.hub import repository

hub = pytest.importorskip("huggingface_hub")

MODEL = model_path().read_bytes()
FILES = {"onnx/model.onnx": MODEL}
"""What the repository org/pets holds."""


class Hub(BaseHTTPRequestHandler):
    """Gives the shipped network, and keeps what is pushed."""

    pushed: dict[str, bytes] = {}  # noqa: RUF012
    made: list[str] = []  # noqa: RUF012

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file(with_content=False)

    def do_GET(self) -> None:
        self._file(with_content=True)

    def _file(self, *, with_content: bool) -> None:
        served = FILES.get(self.path.removeprefix("/org/pets/resolve/main/"))
        if served is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(served).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(served)))
        self.end_headers()
        if with_content:
            self.wfile.write(served)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/commit/main"):
            for line in map(json.loads, text.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.pushed[value["path"]] = base64.b64decode(value["content"])
            commit = f"http://{self.headers['Host']}/org/out/commit/1"
            answer: dict[str, object] = {
                "commitUrl": commit, "commitOid": "1" * 40, "pullRequestUrl": None
            }  # fmt: skip
        elif "/preupload/" in self.path:
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(text)["files"]
            ]
            answer = {"files": files}
        elif self.path == "/api/repos/create":
            self.made.append(json.loads(text)["name"])
            answer = {"url": f"http://{self.headers['Host']}/org/out"}
        else:
            answer = {}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    Hub.pushed.clear()
    Hub.made.clear()
    found = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{found.server_port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address)
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache"))
    )
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    yield address
    found.shutdown()
    found.server_close()
    thread.join()


def test_a_network_of_the_hub(server: str, capsys: Capture) -> None:
    assert main(["quantize", "hf:org/pets/onnx/model.onnx", "--no-timing", "-q"]) == 0
    made = spiq.quantize(model_path(), spiq.Config(timing=False)).model
    assert Path("model.int8.onnx").read_bytes() == made
    assert capsys.readouterr().out == ""


def test_other_commands_take_it_too(server: str, capsys: Capture) -> None:
    assert main(["inspect", "hf:org/pets/onnx/model.onnx", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == 23


def test_a_quantized_file_of_the_hub_beside_its_float_network(
    server: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = spiq.quantize(model_path(), spiq.Config(timing=False))
    monkeypatch.setitem(FILES, "onnx/model.int8.onnx", made.model)
    assert main(["convert", "hf:org/pets/onnx/model.int8.onnx", "--target=qnn", "-q"]) == 0
    assert Path("model.qnn.onnx").read_bytes() == convert(model_path(), made.plan, "qnn").model


def test_pushed_with_a_card(server: str, capsys: Capture) -> None:
    command = ["quantize", "hf:org/pets/onnx/model.onnx", "--no-timing", "--push=org/out"]
    assert main(command) == 0
    assert "spiq: pushed to " in capsys.readouterr().err
    assert Hub.made == ["out"]
    assert Hub.pushed["model.int8.onnx"] == Path("model.int8.onnx").read_bytes()
    card = Hub.pushed["README.md"].decode()
    assert card.startswith("---\nlibrary_name: onnx\ntags: [onnx, int8, quantized, spiq]\n")
    assert 'base_model: "org/pets"' in card
    assert "| layers on integers | 23 of 23 |" in card
    assert "| expected SNR of logits | " in card


def test_what_is_not_there_is_said_in_a_line(server: str, capsys: Capture) -> None:
    said = refused(capsys, "quantize", "hf:org/pets/other.onnx")
    assert "hf:org/pets/other.onnx: " in said and "check the name" in said


@pytest.mark.parametrize(
    "text", ["hf:pets/model.onnx", "hf:org/pets/model.bin", "hf:a/b/c.onnx@", "hf:x"]
)
def test_other_forms_are_refused(text: str, capsys: Capture) -> None:
    assert "write it like hf:org/repo/model.onnx" in refused(capsys, "quantize", text)


def test_references() -> None:
    found = repository.parsed("hf:org/re-po.1/onnx/model.onnx@v2.0")
    assert (found.repo, found.path, found.revision) == ("org/re-po.1", "onnx/model.onnx", "v2.0")
    with pytest.raises(ConfigError, match="write it like org/repo"):
        repository.check_repository("repo")


def test_nothing_is_written_before_the_names_are_right(model: Path, capsys: Capture) -> None:
    before = content()
    assert "--push repo: write it like org/repo" in refused(
        capsys, "quantize", model, "--push=repo"
    )
    assert content() == before


def large(folder: Path, location: str) -> tuple[bytes, bytes]:
    """The shipped network with its weights in a file of their own."""
    onnx.save(
        onnx.load_from_string(MODEL), folder / "large.onnx", save_as_external_data=True,
        location="weights.bin", size_threshold=0,
    )  # fmt: skip
    model = onnx.load(folder / "large.onnx", load_external_data=False)
    for weight in model.graph.initializer:
        for entry in weight.external_data:
            if entry.key == "location":
                entry.value = location
    return model.SerializeToString(), (folder / "weights.bin").read_bytes()


def test_weights_in_a_file_of_their_own_come_along(
    server: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, weights = large(tmp_path_factory.mktemp("large"), "weights.bin")
    monkeypatch.setitem(FILES, "big/model.onnx", network)
    monkeypatch.setitem(FILES, "big/weights.bin", weights)
    for _ in range(2):
        assert main(["quantize", "hf:org/pets/big/model.onnx", "-o", "big.onnx", "--force"]) == 0
    assert Path("big.onnx").read_bytes() == spiq.quantize(MODEL).model


def test_weights_outside_are_refused(
    server: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    network, _ = large(tmp_path_factory.mktemp("large"), "../../secret")
    monkeypatch.setitem(FILES, "big/model.onnx", network)
    assert "outside of its folder" in refused(capsys, "quantize", "hf:org/pets/big/model.onnx")
    monkeypatch.setitem(FILES, "big/other.onnx", large(tmp_path_factory.mktemp("b"), "gone")[0])
    assert "hf:org/pets/big/gone" in refused(capsys, "quantize", "hf:org/pets/big/other.onnx")


def test_gate(server: str, model: Path, capsys: Capture) -> None:
    command = ("gate", "hf:org/pets/onnx/model.onnx", model, CARD, "--limit=8")
    done(capsys, *command, "--update")
    found = json.loads(done(capsys, *command, "--json"))
    assert (found["reference"], found["network"]) == ("hf:org/pets/onnx/model.onnx", str(model))
    assert "gone.onnx" in refused(capsys, "gate", "hf:org/pets/gone.onnx", model, CARD)

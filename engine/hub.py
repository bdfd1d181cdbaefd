"""One repository, or one file of it, from the Hugging Face hub into a folder. Run as a process of its own:

``python -m engine.hub REPOSITORY FOLDER [--revision R] [--file NAME] [--local]``

A process, because a download then can be stopped at any moment, and because the hub's library reads its time limits
from the environment when imported. It prints lines of JSON, the last being ``{"finished": …}``, ``{"local": folder}``
for what the hub's own cache has already, ``{"missing": true}``, ``{"unsupported": reason}`` or ``{"failed": reason}``.
Only settings, tokenizer and safetensors are fetched: nothing that could run. A stopped download goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAMES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "sparse_attention_config.json",
    "model.safetensors.index.json",
)

SECONDS = 10.0
"""To wait for an answer."""

PART = ".part"
"""What a file is called that is not whole yet."""


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def wanted(name: str) -> bool:
    """Settings, tokenizer and weights at the top of the repository, and nothing else."""
    return name in NAMES or (name.endswith(".safetensors") and "/" not in name)


def complete(folder: Path) -> bool:
    """Whether a folder has config.json, tokenizer.json and every shard of its weights."""
    if not (folder / "config.json").is_file() or not (folder / "tokenizer.json").is_file():
        return False
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    return all((folder / shard).is_file() for shard in shards)


def local(repository: str, revision: str | None, file: str | None) -> Path | None:
    """Where the hub's own cache holds the repository (a folder) or the file already, complete."""
    import huggingface_hub as hub

    if file is not None:
        path = hub.try_to_load_from_cache(repository, file, revision=revision)
        return Path(path) if isinstance(path, str) else None
    try:
        patterns = [*NAMES, "*.safetensors"]
        found = hub.snapshot_download(repository, revision=revision, local_files_only=True, allow_patterns=patterns)
        folder = Path(found)
    except (OSError, ValueError):  # LocalEntryNotFoundError is an OSError
        return None
    return folder if complete(folder) else None


def fetch(repository: str, folder: Path, revision: str | None, file: str | None) -> None:
    import huggingface_hub as hub

    facts = hub.HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=SECONDS)
    files = {item.rfilename: item for item in facts.siblings or []}
    names = [file] if file is not None else sorted(filter(wanted, files))
    if file is not None and file not in files:
        say(missing=True)
        return
    if file is None:
        for needed, reason in (("config.json", "no config.json"), ("tokenizer.json", "no tokenizer.json")):
            if needed not in files:
                say(unsupported=f"its repository has {reason}")
                return
        if not any(name.endswith(".safetensors") for name in names):
            say(unsupported="its repository has no safetensors")
            return
    sizes = {name: files[name].size or 0 for name in names}
    say(total=sum(sizes.values()))
    hashes = {name: item.lfs.sha256 for name, item in files.items() if name in sizes and item.lfs is not None}
    for name, size in sizes.items():
        bring(repository, str(facts.sha), name, size, hashes.get(name), folder)
        if size and (folder / name).stat().st_size != size:
            say(failed=f"the connection broke off before {name} was whole")
            return
    for part in folder.glob(f"*{PART}"):  # of another revision
        part.unlink()
    licence = facts.card_data.get("license") if facts.card_data else None
    say(finished=True, revision=facts.sha, licence=licence, sizes=sizes, sha256=hashes)


def bring(repository: str, revision: str, name: str, size: int, sha256: str | None, folder: Path) -> None:
    """One file of a repository into ``folder``. A large one, which has a ``sha256``, goes on where it broke off: the
    hub's own library drops what it has of a file when its process ends."""
    import huggingface_hub as hub
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    target = folder / name
    if sha256 and target.is_file() and target.stat().st_size == size:
        return  # its bytes are held against their hash at the end
    folder.mkdir(parents=True, exist_ok=True)
    url = hub.hf_hub_url(repository, name, revision=revision)
    facts = hub.get_hf_file_metadata(url, timeout=SECONDS)
    headers = build_hf_headers()
    if urlsplit(facts.location).netloc != urlsplit(url).netloc:
        # a signed address of somebody else's, who need not know the token
        headers.pop("authorization", None)
    part = folder / f"{name}.{(sha256 or revision)[:12]}{PART}"
    if not sha256 or (part.is_file() and part.stat().st_size > size):
        part.unlink(missing_ok=True)
    with part.open("ab") as file:
        http_get(facts.location, file, resume_size=file.tell(), headers=headers, expected_size=size or None)
    part.replace(target)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.hub")
    parser.add_argument("repository")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--revision")
    parser.add_argument("--file")
    parser.add_argument("--local", action="store_true", help="only look into the hub's own cache")
    options = parser.parse_args(argv)
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        found = local(options.repository, options.revision, options.file)
        if found is not None:
            say(local=str(found))
        elif options.local:
            say(missing=True)
        else:
            fetch(options.repository, options.folder, options.revision, options.file)
    except GatedRepoError:
        say(failed="it asks you to accept its licence first: do so on its page and set HF_TOKEN")
    except (RepositoryNotFoundError, RevisionNotFoundError):
        say(missing=True)
    except HfHubHTTPError as error:
        say(failed=f"the hub answered {error.response.status_code if error.response is not None else error}")
    except Exception as error:  # httpx, sockets, certificates, offline mode: all mean "not from here"
        lines = str(error).strip().splitlines()
        text = f"{type(error).__name__}: {lines[0] if lines else 'no answer'}"[:200]
        # by its name, since the hub's library changes its client
        broken = any(one.__name__ == "TransportError" for one in type(error).__mro__)
        say(failed=f"the connection to the hub failed ({text})" if broken else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

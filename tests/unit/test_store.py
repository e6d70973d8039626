from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from interpsweep.commands.store import collect_garbage, reclaim_activations, verify_store
from interpsweep.errors import UserError
from interpsweep.spec import digest
from interpsweep.store import Store
from interpsweep.store import lease as leases
from interpsweep.store.attempt import open_attempt, publish
from interpsweep.store.check import check_item
from interpsweep.store.layout import MANIFEST, SCRATCH, _read_spec

SPEC: dict[str, Any] = {
    "stage": "corpus",
    "version": 1,
    "settings": {"source": "generated", "seed": 3},
    "inputs": {},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(store: Store, spec: dict[str, Any] = SPEC, content: bytes = b"abc") -> Path:
    item = store.write_spec(spec) if store.spec_path("x").parent.exists() else _first(store, spec)
    attempt = open_attempt(store, item)
    (attempt / "inner").mkdir(exist_ok=True)
    (attempt / "data.bin").write_bytes(content)
    (attempt / "inner" / "more.bin").write_bytes(content * 2)
    return publish(store, spec, item, attempt, {"n": 1}, {"host": "here"})


def _first(store: Store, spec: dict[str, Any]) -> str:
    store.spec_path("x").parent.mkdir(parents=True)
    return store.write_spec(spec)


def test_an_item_exists_once_it_is_published(store: Store) -> None:
    place = make(store)
    manifest = store.manifest(digest(SPEC))
    assert store.exists(digest(SPEC)) and place == store.find(digest(SPEC))
    assert place.name.startswith("generated-3-") and place.parent.name == "corpora"
    assert set(manifest["files"]) == {"data.bin", "inner/more.bin"}
    assert manifest["files"]["data.bin"]["size"] == 3
    assert not store.work(digest(SPEC)).exists()


def test_scratch_is_no_part_of_an_item_but_outlives_a_kill(store: Store) -> None:
    item = _first(store, SPEC)
    attempt = open_attempt(store, item)
    (attempt / SCRATCH).mkdir()
    (attempt / SCRATCH / "state").write_bytes(b"half way")
    again = open_attempt(store, item)  # after a kill
    assert (again / SCRATCH / "state").read_bytes() == b"half way"
    place = make(store)
    assert set(store.manifest(item)["files"]) == {"data.bin", "inner/more.bin"}
    assert not (place / SCRATCH).exists()


def test_manifests_do_not_depend_on_when_or_where(tmp_path: Path) -> None:
    texts = [(make(Store(tmp_path / name)) / MANIFEST).read_bytes() for name in ("a", "b")]
    assert texts[0] == texts[1]


def test_losing_the_race_to_publish_keeps_the_first_item(store: Store) -> None:
    first = make(store)
    before = (first / "run.json").stat().st_mtime_ns
    assert make(store) == first
    assert (first / "run.json").stat().st_mtime_ns == before


def test_an_attempt_is_adopted_with_what_it_holds(store: Store) -> None:
    item = _first(store, SPEC)
    old = open_attempt(store, item)
    (old / "chunk").write_text("done")
    (old / "torn.partial").write_text("half")
    new = open_attempt(store, item)
    assert new != old and not old.exists()
    assert sorted(path.name for path in new.iterdir()) == ["chunk"]


def test_a_folder_without_a_manifest_is_no_item(store: Store) -> None:
    place = make(store)
    (place / MANIFEST).unlink()
    assert not store.exists(digest(SPEC))
    make(store)
    assert store.exists(digest(SPEC))


def test_unknown_digests_are_explained(store: Store) -> None:
    with pytest.raises(UserError, match="knows no such digest"):
        store.find("0" * 64)


# ---------------------------------------------------------------------------- leases


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = (leases.Lease(tmp_path / "l.json", job) for job in "ab")
    assert first.acquire() is None
    holder = second.acquire()
    assert holder is not None and holder["pid"] == os.getpid()
    first.release()
    assert second.acquire() is None
    second.release()
    assert not (tmp_path / "l.json").exists()


def test_of_many_one_wins(tmp_path: Path) -> None:
    contenders = [leases.Lease(tmp_path / "l.json", str(i)) for i in range(16)]
    won: list[leases.Lease] = []
    start = threading.Barrier(16)

    def race(lease: leases.Lease) -> None:
        start.wait()
        if lease.acquire() is None:
            won.append(lease)

    threads = [threading.Thread(target=race, args=(lease,)) for lease in contenders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].release()


def test_the_lease_of_a_killed_process_is_taken_at_once(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    code = (
        "import os, signal, sys; from pathlib import Path; from interpsweep.store.lease import Lease\n"
        "Lease(Path(sys.argv[1]), 'x').acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.exists()
    lease = leases.Lease(path, "y")
    assert lease.acquire() is None
    lease.release()


def test_a_lease_of_another_machine_expires(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    path.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "started": "1"}))
    assert leases.Lease(path, "x").acquire() is not None
    long_ago = path.stat().st_mtime - leases.EXPIRY - 1
    os.utime(path, (long_ago, long_ago))
    lease = leases.Lease(path, "x")
    assert lease.acquire() is None
    lease.release()


# ---------------------------------------------------------------------------- care


def damage_flip(path: Path) -> None:
    path.write_bytes(b"abd")


def damage_truncate(path: Path) -> None:
    path.write_bytes(b"a")


@pytest.mark.parametrize(
    ("damage", "found_by"),
    [(damage_flip, "full"), (damage_truncate, "size"), (Path.unlink, "size")],
)
def test_damage_is_found_and_named(store: Store, damage: Any, found_by: str) -> None:
    place = make(store)
    damage(place / "data.bin")
    quick, full = (list(check_item(place, full=full)) for full in (False, True))
    assert bool(quick) == (found_by == "size")
    assert len(full) == 1 and "data.bin" in full[0]


def test_repair_drops_only_the_damaged_item(store: Store) -> None:
    place = make(store)
    other = make(store, {**SPEC, "settings": {"seed": 4}})
    (place / "data.bin").write_bytes(b"abd")
    assert verify_store(full=True, repair=False, store=store) == 1
    assert verify_store(full=True, repair=True, store=store) == 0
    assert not place.exists() and other.exists()


def test_garbage_is_what_no_sweep_wants(store: Store, capsys: pytest.CaptureFixture) -> None:
    kept, dropped = make(store), make(store, {**SPEC, "settings": {"seed": 4}})
    (store.root / ".roots").mkdir()
    (store.root / ".roots" / "s.json").write_text(json.dumps({"items": [digest(SPEC)]}))
    collect_garbage(delete=False, grace_days=0, store=store)
    assert dropped.exists() and str(dropped) in capsys.readouterr().out
    collect_garbage(delete=True, grace_days=1, store=store)
    assert dropped.exists()
    collect_garbage(delete=True, grace_days=0, store=store)
    assert kept.exists() and not dropped.exists()


def test_an_unfinished_item_that_no_sweep_wants_is_garbage(store: Store) -> None:
    make(store)
    (store.root / ".roots").mkdir()
    wanted = store.write_spec({**SPEC, "settings": {"seed": 4}})
    (store.root / ".roots" / "s.json").write_text(json.dumps({"items": [digest(SPEC), wanted]}))
    kept = open_attempt(store, wanted)
    dropped, finished = open_attempt(store, "0" * 64), open_attempt(store, digest(SPEC))
    torn = store.root / ".jobs" / ".index.json.1234.partial"
    torn.parent.mkdir()
    torn.write_text("half")
    collect_garbage(delete=True, grace_days=1, store=store)
    assert dropped.exists() and torn.exists()
    collect_garbage(delete=True, grace_days=0, store=store)
    assert kept.exists() and not torn.exists()
    assert not dropped.parent.exists() and not finished.parent.exists()


def test_a_manifest_that_changed_is_named(store: Store) -> None:
    place = make(store)
    text = (place / MANIFEST).read_text()
    assert '"n":1' in text and list(check_item(place, full=False)) == []
    for damaged in (text.replace('"n":1', '"n":2'), text[:-9], "", "[]", "{}", "\0" * len(text)):
        (place / MANIFEST).write_text(damaged)
        found = list(check_item(place, full=False))
        assert found and all("manifest.json: this manifest is damaged" in line for line in found)
    with pytest.raises(UserError, match="damaged"):
        store.manifest(digest(SPEC))


def test_a_manifest_of_another_item_is_named(store: Store) -> None:
    place, other = make(store), make(store, {**SPEC, "settings": {"seed": 4}})
    (place / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
    assert any("another item" in problem for problem in check_item(place, full=False))


def test_what_no_manifest_vouches_for_is_named(store: Store) -> None:
    place, ruin = make(store), make(store, {**SPEC, "settings": {"seed": 4}})
    (place / "inner" / "junk").write_text("x")
    (place / "link").symlink_to("/etc/hostname")
    (ruin / MANIFEST).unlink()
    found = list(check_item(place, full=False))
    assert [line.partition(": ")[0] for line in found] == [f"{place}/inner/junk", f"{place}/link"]
    assert verify_store(full=False, repair=True, store=store) == 0
    assert not place.exists() and not ruin.exists()


def test_a_damaged_spec_is_named_and_never_used(
    store: Store, capsys: pytest.CaptureFixture
) -> None:
    make(store)
    path = store.spec_path(digest(SPEC))
    path.write_text(path.read_text().replace('"seed":3', '"seed":5'))
    _read_spec.cache_clear()
    with pytest.raises(UserError, match="damaged; delete it"):
        store.find(digest(SPEC))
    assert verify_store(full=False, repair=True, store=store) == 0
    assert str(path) in capsys.readouterr().out and not path.exists()


def test_reclaimed_data_are_gone_but_not_missing(store: Store, tmp_path: Path) -> None:
    place = make(store)
    reclaim_activations(digest(SPEC), tmp_path / "record.json", store)
    assert store.exists(digest(SPEC)) and store.manifest(digest(SPEC))["reclaimed"]
    assert sorted(p.name for p in place.iterdir()) == [MANIFEST, "run.json"]
    assert list(check_item(place, full=True)) == []

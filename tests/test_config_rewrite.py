"""Former names become current ones and nothing else changes; whatever happens, a file is whole and private."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import random
import resource
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from dotenv.parser import parse_stream

from config.settings.sources import ENV_FILE_BYTES_MAX
from config.show.rewrite import Change, Rewritten, renamed, rewrite

NAMES = {"OLD": "NEW", "OLDER": "NEW", "OLD_FILE": "NEW_FILE", "PORT": "REDIS_PORT", "LONG_FORMER_NAME": "X"}
CANARY = "canary-7f3a9"
WHY = "NEW has the same value"


@pytest.mark.parametrize(
    "before, after, line",
    [
        ("OLD=1", "NEW=1", 1),
        ("OLD=1\n", "NEW=1\n", 1),
        ("OLD=1\r\n", "NEW=1\r\n", 1),
        ("OLD=1\r", "NEW=1\r", 1),
        ("OLD=", "NEW=", 1),
        ("OLD= # why\n", "NEW= # why\n", 1),
        ("export OLD=1\n", "export NEW=1\n", 1),
        ("export \t OLD=1\n", "export \t NEW=1\n", 1),
        ("OLD =1\n", "NEW =1\n", 1),
        ("OLD \t=  1  \n", "NEW \t=  1  \n", 1),
        ("'OLD'=1\n", "'NEW'=1\n", 1),
        ("export 'OLD' = 1\n", "export 'NEW' = 1\n", 1),
        ("  \tOLD=1\n", "  \tNEW=1\n", 1),
        ("OLD='OLD=1'\n", "NEW='OLD=1'\n", 1),
        ('OLD="a\\"OLD"\n', 'NEW="a\\"OLD"\n', 1),
        ("OLD=OLD\n", "NEW=OLD\n", 1),
        ("OLD=1 # OLD=2\n", "NEW=1 # OLD=2\n", 1),
        ("OLD=a#b OLD\n", "NEW=a#b OLD\n", 1),
        ("OLD=${OLD}\n", "NEW=${OLD}\n", 1),
        ("OLD='pä€ss\u2028word'\n", "NEW='pä€ss\u2028word'\n", 1),
        ("OLD_FILE=/run/OLD\n", "NEW_FILE=/run/OLD\n", 1),
        ("OLD=1\nOTHER=2", "NEW=1\nOTHER=2", 1),
        ("# one\n\n  \nOLD=1\n\n# end\n", "# one\n\n  \nNEW=1\n\n# end\n", 4),
        ("# one\r\n\r\nOLD=1\r\n\r\n", "# one\r\n\r\nNEW=1\r\n\r\n", 3),
        ("A=1\rOLD=1\rB=1", "A=1\rNEW=1\rB=1", 1),
        ("A=1\r\nB=1\nOLD=1\r\n", "A=1\r\nB=1\nNEW=1\r\n", 3),
        ("\ufeffOLD=1\n", "\ufeffNEW=1\n", 1),
        ("\ufeff\ufeffOLD=1\n", "\ufeff\ufeffNEW=1\n", 1),
        ("\ufeff# one\r\nOLD=1", "\ufeff# one\r\nNEW=1", 2),
        ("#OLD=2\n# OLD=3\n  #OLD=4\nOLD=1\n", "#OLD=2\n# OLD=3\n  #OLD=4\nNEW=1\n", 4),
        ('OLD="1\nOLD=2\n#3"\nB=1\n', 'NEW="1\nOLD=2\n#3"\nB=1\n', 1),
        ('PEM="-----BEGIN\nOLD=1\n-----END"\nOLD=1\n', 'PEM="-----BEGIN\nOLD=1\n-----END"\nNEW=1\n', 4),
        ("JSON='{\r\nOLD=1\r\n}' # c\r\nOLD=1\r\n", "JSON='{\r\nOLD=1\r\n}' # c\r\nNEW=1\r\n", 4),
        ("=bad\nOLD=1\n", "=bad\nNEW=1\n", 2),
        ("=bad\r\nOLD=1\r\n", "=bad\r\nNEW=1\r\n", 2),
        ("two words\r\n=bad\r\n\r\nOLD=1\r\n", "two words\r\n=bad\r\n\r\nNEW=1\r\n", 4),
        ('A="not closed\r\nOLD=1\r\n', 'A="not closed\r\nNEW=1\r\n', 2),
        ("export\nOLD=1\n", "export\nNEW=1\n", 2),
        ("export \nOLD=1\n", "export \nNEW=1\n", 2),
    ],
)
def test_only_the_characters_of_the_key_change(before: str, after: str, line: int) -> None:
    old, new = ("OLD_FILE", "NEW_FILE") if before.startswith("OLD_FILE") else ("OLD", "NEW")
    assert (after, (Change(line, old, new),)) == renamed(before, NAMES)
    assert (after, ()) == renamed(after, NAMES), "a second run changed something"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ufeff",
        "\n\n",
        "NEW=1\n",
        "#OLD=1\r\n",
        "  # export OLD=1",
        "OTHER=OLD",
        "OTHER='\nOLD=1\n'\n",
        'OTHER="\r\nexport OLD=1\r\n"',
        "old=1\n",
        "XOLD=1\nOLDX=1\nOLD_=1\n",
        '"OLD"=1\n',
        "'OLD '=1\n",
        "OLD",
        "OLD # why\n",
        "NEW=\nOLD\n",
        "OLD OTHER=1\n",
        "export export OLD=1\n",
        "'OLD=1\n",
        'OLD="1\n',
    ],
)
def test_what_is_no_entry_of_a_former_name_stays(text: str) -> None:
    assert (text, ()) == renamed(text, NAMES)


@pytest.mark.parametrize(
    "before, after, changes",
    [
        # The current name is there, with the same value.
        ("NEW=1\nOLD=1\n", "NEW=1\n", (Change(2, "OLD", None, WHY),)),
        ("OLD=1\nNEW=1\n", "NEW=1\n", (Change(1, "OLD", None, WHY),)),
        ("A=1\r\n\r\n  export 'OLD' = 1 # c\r\n\r\nNEW=1", "A=1\r\n\r\n\r\nNEW=1", (Change(3, "OLD", None, WHY),)),
        ("NEW=1\nOLD=1", "NEW=1\n", (Change(2, "OLD", None, WHY),)),
        ("NEW=1\r# c\r\tOLD=1\rB=1\r", "NEW=1\r# c\rB=1\r", (Change(1, "OLD", None, WHY),)),
        ("NEW=1\r\r OLD=1\rB=1\r", "NEW=1\r\rB=1\r", (Change(1, "OLD", None, WHY),)),
        ("\ufeffOLD=1\nNEW=1\n", "\ufeffNEW=1\n", (Change(1, "OLD", None, WHY),)),
        ("NEW=1\r\n=bad\r\nOLD=1\r\nB=1\r\n", "NEW=1\r\n=bad\r\nB=1\r\n", (Change(3, "OLD", None, WHY),)),
        # The same value, written in another way.
        ("NEW=1\nOLD='1'\n", "NEW=1\n", (Change(2, "OLD", None, WHY),)),
        ('NEW=1\nOLD=" 1 "\n', "NEW=1\n", (Change(2, "OLD", None, WHY),)),
        ("NEW=\nOLD=''\n", "NEW=\n", (Change(2, "OLD", None, WHY),)),
        ("NEW=\"1\n2\"\nA=1\nOLD='1\n2'\nB=1", 'NEW="1\n2"\nA=1\nB=1', (Change(4, "OLD", None, WHY),)),
        # Two former names of one current name: the first becomes the current one.
        ("OLD=1\nOLDER=1\n", "NEW=1\n", (Change(1, "OLD", "NEW"), Change(2, "OLDER", None, WHY))),
        ("OLDER=1\nOLD=1\n", "NEW=1\n", (Change(1, "OLDER", "NEW"), Change(2, "OLD", None, WHY))),
        ("OLD=1\nOLDER=1\nNEW=1", "NEW=1", (Change(1, "OLD", None, WHY), Change(2, "OLDER", None, WHY))),
        ("NEW='1\n2'\nOLD='1\r\n2'\n", "NEW='1\n2'\n", (Change(3, "OLD", None, WHY),)),
        # A key that is there twice, whichever of its entries counts.
        ("OLD=1\nOLD=2\n", "NEW=1\nNEW=2\n", (Change(1, "OLD", "NEW"), Change(2, "OLD", "NEW"))),
        ("OLD=1\nOLD=\n", "NEW=1\nNEW=\n", (Change(1, "OLD", "NEW"), Change(2, "OLD", "NEW"))),
        ("OLD=1\nNEW=1\nOLD=1\n", "NEW=1\n", (Change(1, "OLD", None, WHY), Change(3, "OLD", None, WHY))),
        ("NEW=1\nOLD=1\nNEW=1\n", "NEW=1\nNEW=1\n", (Change(2, "OLD", None, WHY),)),
        ("OLD=2\nOLD=1\nNEW=1\n", "OLD=2\nOLD=1\nNEW=1\n", ()),
        ("OLD=1\nOLD=\nNEW=\n", "OLD=1\nOLD=\nNEW=\n", ()),
        ("NEW=2\nOLD=1\nNEW=1\n", "NEW=2\nOLD=1\nNEW=1\n", ()),
        # A value and the file of a value are two settings.
        ("OLD=1\nNEW_FILE=1\n", "NEW=1\nNEW_FILE=1\n", (Change(1, "OLD", "NEW"),)),
        # Different values: nobody but the user knows which is right.
        ("OLD=1\nNEW=2\n", "OLD=1\nNEW=2\n", ()),
        ("OLD=1\nNEW=\n", "OLD=1\nNEW=\n", ()),
        ("OLD=a\nNEW=A\n", "OLD=a\nNEW=A\n", ()),
        ("OLD=1\nOLDER=2\n", "OLD=1\nOLDER=2\n", ()),
        ("OLD=1\nOLDER=2\nNEW=1\n", "OLD=1\nOLDER=2\nNEW=1\n", ()),
        ("OLD=1\nNEW=1\nNEW=2\n", "OLD=1\nNEW=1\nNEW=2\n", ()),
        ("OLD=1\nNEW=2\nPORT=3\n", "OLD=1\nNEW=2\nREDIS_PORT=3\n", (Change(3, "PORT", "REDIS_PORT"),)),
    ],
)
def test_names_that_meet_become_one_if_their_values_agree(before: str, after: str, changes: tuple[Change, ...]) -> None:
    assert (after, changes) == renamed(before, NAMES)
    assert (after, ()) == renamed(after, NAMES), "a second run changed something"


def test_no_names_no_change() -> None:
    assert ("OLD=1\n", ()) == renamed("OLD=1\n", {})


@dataclass(frozen=True)
class Item:
    """A piece of a random file: its text around the key, and the value that is read; without a value it is no entry."""

    lead: str
    key: str = ""
    tail: str = ""
    value: str | None = None

    def __str__(self) -> str:
        return self.lead + self.key + self.tail


VALUES = (
    "",
    "1",
    "a b",
    "a=b#c",
    "OLD=1",
    "${OLD}",
    'it\'s "OLD"',
    "back\\slash",
    "-----BEGIN\nOLD=1\nexport PORT=2\n# OLD\n-----END",
    '{"OLD": "PORT",\n\nOLDER=3\n}',
    "ключ€",
)
KEYS = (*NAMES, "NEW", "REDIS_PORT", "OTHER", "OLD_OTHER", "old")
JUNK = ("", "", "  ", "\t", "# OLD=1", "#OLDER=1", "  # 'PORT'=\"", "=OLD", "OLD", "OLD two words", "'PORT' x", "#")


def random_value(chance: random.Random, values: Sequence[str], eol: str) -> tuple[str, str]:
    """Return how a value is written after its key, and what is to be read."""
    value = chance.choice(values).replace("\n", eol)
    comment = chance.choice(("", "", "  ", " # OLD=1", '\t# it\'s "PORT"'))
    equals = chance.choice(("=", "=", " =", "= ", "\t=\t"))
    double = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    single = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    written = [equals + double, equals + single]
    if value and eol not in value:
        written.append(equals + value)
    if not value:
        written.append(equals)
    return chance.choice(written) + comment, value


def random_item(chance: random.Random, values: Sequence[str], eol: str) -> Item:
    if chance.random() < 0.35:
        return Item(chance.choice(JUNK) + eol)
    written, value = random_value(chance, values, eol)
    quote = chance.choice(("", "", "'"))
    lead = chance.choice(("", "", "  ", "\t")) + chance.choice(("", "", "export ", "export \t")) + quote
    return Item(lead, chance.choice(KEYS), quote + written + eol, value)


def random_items(chance: random.Random) -> Iterator[Item]:
    ends = chance.choice((("\n",), ("\r\n",), ("\n", "\r\n")))
    # Few values in a file, so that names that meet agree often enough.
    values = chance.sample(VALUES, chance.choice((1, 2, 6)))
    if chance.random() < 0.2:
        yield Item("\ufeff")
    for _ in range(chance.randrange(1, 12)):
        yield random_item(chance, values, chance.choice(ends))
    if chance.random() < 0.4:
        last = random_item(chance, values, "\n")
        yield dataclasses.replace(last, lead=last.lead.removesuffix("\n"), tail=last.tail.removesuffix("\n"))


def as_read(value: str) -> str:
    return value.replace("\r\n", "\n").strip()


def expected(items: list[Item]) -> tuple[str, tuple[Change, ...], dict[str, str]]:
    """Return the text, the changes and the names that apply, from the items alone."""
    entries = [(item.key, as_read(item.value)) for item in items if item.value is not None]
    applies: dict[str, str] = {}
    stays: dict[str, str] = {}
    for current in sorted(set(NAMES.values())):
        same = [(key, value) for key, value in entries if NAMES.get(key, key) == current]
        keys = [key for key, _ in same]
        if len(set(keys)) == 1 or len({value for _, value in same}) == 1:
            stays[current] = current if current in keys else keys[0]
            applies |= dict.fromkeys(keys, current)
    text, changes, line = "", [], 1
    for item in items:
        if item.value is None or item.key not in NAMES or item.key not in applies:
            text += str(item)
        elif stays[applies[item.key]] == item.key:
            text += item.lead + applies[item.key] + item.tail
            changes.append(Change(line, item.key, applies[item.key]))
        else:
            changes.append(Change(line, item.key, None, f"{applies[item.key]} has the same value"))
        line += str(item).count("\n")
    return text, tuple(changes), applies


def read(text: str) -> dict[str, str]:
    """Return what python-dotenv reads, without the names that have no ``=``."""
    return {
        binding.key: as_read(binding.value)
        for binding in parse_stream(io.StringIO(text))
        if binding.key is not None and binding.value is not None
    }


def test_random_files_keep_their_values_and_every_other_byte() -> None:
    """Two thousand files; what is to come out is put together from their pieces, without any parser."""
    chance = random.Random(20240917)
    renames = removals = clashes = 0
    for number in range(2000):
        items = list(random_items(chance))
        before = "".join(map(str, items))
        after, changes, applies = expected(items)

        assert {item.key: as_read(item.value) for item in items if item.value is not None} == read(before), number
        assert (after, changes) == renamed(before, NAMES), (number, before)
        assert {applies.get(key, key): value for key, value in read(before).items()} == read(after), (number, before)
        assert (after, ()) == renamed(after, NAMES), (number, before)

        renames += sum(change.new is not None for change in changes)
        removals += sum(change.new is None for change in changes)
        clashes += any(item.value is not None and item.key in NAMES and item.key not in applies for item in items)
    assert min(renames, removals, clashes) > 100, "the files are too tame to prove anything"


BEFORE = f"# settings\r\n\r\nexport OLD='{CANARY}' # key\r\nPORT=6379\r\n".encode()
AFTER = f"# settings\r\n\r\nexport NEW='{CANARY}' # key\r\nREDIS_PORT=6379\r\n".encode()
CHANGES = (Change(3, "OLD", "NEW"), Change(4, "PORT", "REDIS_PORT"))


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_bytes(BEFORE)
    path.chmod(0o600)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_rewritten_and_its_original_kept(env: Path) -> None:
    backup = env.with_name(".env.bak")
    assert Rewritten(env, backup, CHANGES) == rewrite(env, NAMES)
    assert {".env": AFTER, ".env.bak": BEFORE} == content(env.parent)
    assert (0o600, 0o600) == (mode(env), mode(backup))


def test_a_second_run_does_nothing(env: Path) -> None:
    rewrite(env, NAMES)
    status = env.stat()
    assert rewrite(env, NAMES) is None
    assert {".env": AFTER, ".env.bak": BEFORE} == content(env.parent)
    assert (status.st_ino, status.st_mtime_ns) == (env.stat().st_ino, env.stat().st_mtime_ns)


def test_no_backup_is_ever_overwritten(env: Path) -> None:
    env.with_name(".env.bak").write_bytes(b"mine")
    env.with_name(".env.bak.1").symlink_to("nowhere")
    done = rewrite(env, NAMES)
    assert done is not None
    assert ".env.bak.2" == done.backup.name
    assert BEFORE == done.backup.read_bytes()
    assert b"mine" == env.with_name(".env.bak").read_bytes()
    assert not env.with_name("nowhere").exists()


@pytest.mark.parametrize(
    "given, kept", [(0o600, 0o600), (0o400, 0o400), (0o640, 0o600), (0o664, 0o600), (0o755, 0o600)]
)
def test_the_file_keeps_its_mode_and_the_backup_is_its_owner_s_alone(env: Path, given: int, kept: int) -> None:
    env.chmod(given)
    umask = os.umask(0o077)
    try:
        done = rewrite(env, NAMES)
    finally:
        os.umask(umask)
    assert done is not None
    assert (given, kept) == (mode(env), mode(done.backup))


def test_the_owner_is_kept(env: Path) -> None:
    """Only root can give files away; for others this proves that the owner is still the same."""
    if os.geteuid() == 0:
        os.chown(env, 12345, 54321)
    before = env.stat()
    done = rewrite(env, NAMES)
    assert done is not None
    for path in (env, done.backup):
        assert (before.st_uid, before.st_gid) == (path.stat().st_uid, path.stat().st_gid)


def test_a_group_that_had_no_access_gets_none(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the group cannot be kept, the file has the group of whoever runs this."""
    if os.geteuid() == 0:
        os.chown(env, -1, 54321)
    env.chmod(0o640)
    group = env.stat().st_gid

    def refuse(*_: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refuse)
    rewrite(env, NAMES)
    assert AFTER == env.read_bytes()
    assert (0o640 if env.stat().st_gid == group else 0o600) == mode(env)


def test_a_link_stays_and_its_target_is_rewritten(env: Path, tmp_path: Path) -> None:
    folder = tmp_path / "link"
    folder.mkdir()
    (folder / "middle").symlink_to("../.env")
    link = folder / ".env"
    link.symlink_to("middle")
    done = rewrite(link, NAMES)
    assert done is not None
    assert (env.resolve(), env.resolve().with_name(".env.bak")) == (done.path, done.backup)
    assert Path("middle") == link.readlink()
    assert AFTER == env.read_bytes() == link.read_bytes()
    assert BEFORE == done.backup.read_bytes()
    assert {".env", "middle"} == {path.name for path in folder.iterdir()}


def test_a_relative_path_is_beside_itself(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(env.parent)
    assert Rewritten(Path(".env"), Path(".env.bak"), CHANGES) == rewrite(Path(".env"), NAMES)
    assert AFTER == env.read_bytes()


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_the_byte_order_mark_is_kept(env: Path, bom: bytes) -> None:
    env.write_bytes(bom + b"OLD=1")
    assert rewrite(env, NAMES) is not None
    assert bom + b"NEW=1" == env.read_bytes()


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def make_large(path: Path) -> None:
    path.write_bytes(b"OLD=" + CANARY.encode() + b"\n" + b"#" * ENV_FILE_BYTES_MAX)


def make_too_large_afterwards(path: Path) -> None:
    path.write_bytes(b"PORT=1\n".ljust(ENV_FILE_BYTES_MAX, b"#"))


def make_latin_1(path: Path) -> None:
    path.write_bytes(b"OLD=" + CANARY.encode() + b"\xff\n")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "No such file"),
        (make_folder, "Is a directory"),
        (make_pipe, "it is not a regular file"),
        (make_loop, "symbolic link"),
        (make_dangling, "No such file"),
        (make_large, "it is larger than 64 KiB"),
        (make_too_large_afterwards, "would be larger than 64 KiB"),
        (make_latin_1, "it is not UTF-8 text"),
    ],
)
def test_what_cannot_be_rewritten_is_an_error_without_content(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / ".env"
    make(path)
    before = [(found.name, found.lstat()) for found in tmp_path.iterdir()]
    with pytest.raises(OSError, match=message) as caught:
        rewrite(path, NAMES)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error!s}{error!r}{vars(error)}"
        assert not isinstance(error, UnicodeError), "it holds all the bytes"
        error = error.__context__
    after = [(found.name, found.lstat()) for found in tmp_path.iterdir()]
    assert [(name, status.st_mtime_ns) for name, status in before] == [(name, s.st_mtime_ns) for name, s in after]


def test_the_largest_file_that_is_read_is_rewritten(env: Path) -> None:
    env.write_bytes(b"LONG_FORMER_NAME=1\n".ljust(ENV_FILE_BYTES_MAX, b"#"))
    assert rewrite(env, NAMES) is not None
    assert b"X=1\n##" == env.read_bytes()[:6]


def failing(real: Callable[..., object], at: int) -> Callable[..., object]:
    """Return ``real``, whose call number ``at`` (from 1) fails."""
    calls = iter(range(1, 100))

    def call(*args: object, **kwargs: object) -> object:
        if next(calls) == at:
            raise OSError(errno.EIO, "simulated")
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    "name, at",
    [
        ("replace", 1),
        ("fsync", 1),  # of the backup
        ("fsync", 2),  # of the new text
        ("fsync", 3),  # of the folder
        ("fchmod", 1),
        ("fchmod", 2),
    ],
)
def test_a_failure_at_any_step_leaves_things_as_they_were(
    env: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    monkeypatch.setattr(os, name, failing(getattr(os, name), at))
    with pytest.raises(OSError, match="simulated") as caught:
        rewrite(env, NAMES)
    assert {".env": BEFORE} == content(env.parent)
    assert CANARY not in str(caught.value)


def test_once_the_file_is_replaced_it_counts_as_done(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was synchronised with the backup in it before; an error would say that nothing was changed."""
    monkeypatch.setattr(os, "fsync", failing(os.fsync, 4))
    assert rewrite(env, NAMES) is not None
    assert {".env": AFTER, ".env.bak": BEFORE} == content(env.parent)


@pytest.mark.parametrize("suffix", [".bak", ".tmp"])
def test_a_folder_that_cannot_be_written_is_an_error(env: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Root may write everywhere, so the system's answer is simulated."""
    real = os.open

    def refuse(path: str | Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and str(path).endswith(suffix):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        rewrite(env, NAMES)
    assert {".env": BEFORE} == content(env.parent)


@pytest.mark.parametrize("room", [10, len(BEFORE)], ids=["none for the backup", "none for the new text"])
def test_a_full_disk_is_an_error(env: Path, room: int) -> None:
    """A real limit on the size of files; the new text is longer than the old one."""
    assert len(AFTER) > len(BEFORE)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            rewrite(env, NAMES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {".env": BEFORE} == content(env.parent)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"MORE=1\n")


def edit_within_a_clock_tick(path: Path) -> None:
    before = path.stat()
    path.write_bytes(BEFORE.replace(b"6379", b"6380"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def swap(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(BEFORE)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


def become_a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.with_name("other")))


@pytest.mark.parametrize(
    "edit, message",
    [
        (append, "it changed while"),
        (edit_within_a_clock_tick, "it changed while"),
        (touch, "it changed while"),
        (swap, "it changed while"),
        (become_a_link, "symbolic link"),
        (Path.unlink, "No such file"),
    ],
)
def test_an_edit_in_the_meantime_is_not_lost(
    env: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Path], None], message: str
) -> None:
    real = os.fsync
    edited: list[dict[str, bytes]] = []

    def edit_once(descriptor: int) -> None:
        if not edited:
            edit(env)
            edited.append(content(env.parent))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", edit_once)
    with pytest.raises(OSError, match=message):
        rewrite(env, NAMES)
    found = edited[0]
    del found[".env.bak"]
    assert found == content(env.parent)

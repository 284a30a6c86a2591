"""Real servers of the system, each in a folder of its own and on a port of its own, ended by process id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cemd.kit.parent import end_with_starter

from tests.conftest import program
from tests.monitor.peers import free_port

PASSWORD = "open-sesame-4711"
NOBODY = 65_534


@contextlib.asynccontextmanager
async def running(component: str, *words: str, port: int) -> AsyncIterator[None]:
    """The program of a component, listening on a port, until the block ends."""
    path = program(component)
    assert path is not None
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(path, *words, stdout=quiet, stderr=quiet, preexec_fn=end_with_starter)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert child.returncode is None, f"{component} ended with {child.returncode}"
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        if child.returncode is None:
            child.terminate()
        try:
            async with asyncio.timeout(5):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


@contextlib.asynccontextmanager
async def dovecot(certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    """Mailboxes of a user `probe`, in clear and with STARTTLS. It gives its rights away, so only root can start it."""
    if os.geteuid() != 0:
        pytest.skip("dovecot drops its rights, which only root can")
    folder = Path(tempfile.mkdtemp(prefix="cemd-dovecot-"))
    try:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 -- others must enter; before anything is measured
        mail = folder / "mail"
        mail.mkdir()
        os.chown(mail, NOBODY, NOBODY)
        for source, name in zip(certificate, ("cert", "key"), strict=True):
            shutil.copy(source, folder / name)
        (folder / "users").write_text(f"probe:{{PLAIN}}{PASSWORD}\n")
        port = free_port()
        (folder / "conf").write_text(
            f"protocols = imap\nlisten = 127.0.0.1\nbase_dir = {folder}/run\nstate_dir = {folder}/run\n"
            f"log_path = {folder}/log\nssl = yes\nssl_cert = <{folder}/cert\nssl_key = <{folder}/key\n"
            "disable_plaintext_auth = no\nfirst_valid_uid = 1\n"
            "service imap-login {\n  chroot =\n"
            f"  inet_listener imap {{\n    port = {port}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n"
            f"passdb {{\n  driver = passwd-file\n  args = {folder}/users\n}}\n"
            f"userdb {{\n  driver = static\n  args = uid={NOBODY} gid={NOBODY} home={mail}/%u\n}}\n"
            f"mail_location = maildir:{mail}/%u\n"
        )
        async with running("dovecot", "-F", "-c", str(folder / "conf"), port=port):
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def slapd(folder: Path, certificate: tuple[Path, Path]) -> AsyncIterator[int]:
    """A directory with `ou=people,dc=example` and the user `cn=probe,dc=example`."""
    store = folder / "ldap"
    store.mkdir()
    (folder / "slapd.conf").write_text(
        "include /etc/ldap/schema/core.schema\n"
        f"pidfile {folder}/slapd.pid\nTLSCertificateFile {certificate[0]}\nTLSCertificateKeyFile {certificate[1]}\n"
        f'database ldif\ndirectory {store}\nsuffix "dc=example"\nrootdn "cn=probe,dc=example"\nrootpw {PASSWORD}\n'
    )
    entries = (
        "dn: dc=example\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
        "dn: ou=people,dc=example\nobjectClass: organizationalUnit\nou: people\n\n"
        "dn: ou=things,dc=example\nobjectClass: organizationalUnit\nou: things\n"
    )
    (folder / "entries.ldif").write_text(entries)
    path, port = program("slapd"), free_port()
    assert path is not None
    given = ["-f", str(folder / "slapd.conf")]
    add = [path, "-T", "add", *given, "-l", str(folder / "entries.ldif")]
    await asyncio.to_thread(subprocess.run, add, check=True, timeout=20, capture_output=True)
    async with running("slapd", *given, "-h", f"ldap://127.0.0.1:{port}", "-d", "0", port=port):
        yield port


@contextlib.asynccontextmanager
async def sshd(folder: Path, *more: str) -> AsyncIterator[int]:
    """A server with one host key, of Ed25519, whose public half is `host-key.pub`; `more` lines of configuration."""
    key, port = folder / "host-key", free_port()
    await ssh_key(key, "ed25519")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # noqa: ASYNC240 -- before anything is measured
    lines = (
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {key}", "UsePAM no", "PidFile none", "MaxStartups 100",
        f"AuthorizedKeysFile {folder}/authorized", "StrictModes no", "PermitRootLogin yes", *more,
    )  # fmt: skip
    (folder / "sshd.conf").write_text("\n".join(lines) + "\n")
    async with running("sshd", "-D", "-e", "-f", str(folder / "sshd.conf"), port=port):
        yield port


async def ssh_key(file: Path, kind: str) -> None:
    """A pair of keys without a passphrase: the file, and the public half in `FILE.pub`."""
    make = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(file)]
    await asyncio.to_thread(subprocess.run, make, check=True, timeout=60)


@contextlib.asynccontextmanager
async def mosquitto(folder: Path, certificate: tuple[Path, Path]) -> AsyncIterator[tuple[int, int]]:
    """A broker that knows the user `probe`, who may not write below `closed/`; (port in clear, port with TLS)."""
    port, secure = free_port(), free_port()
    users, rules = folder / "users", folder / "rules"
    users.touch(mode=0o600)
    add = ["mosquitto_passwd", "-b", str(users), "probe", PASSWORD]
    await asyncio.to_thread(subprocess.run, add, check=True, timeout=20, capture_output=True)
    rules.write_text("user probe\ntopic readwrite cemd/#\ntopic read closed/#\n")
    (folder / "mosquitto.conf").write_text(
        f"user root\nper_listener_settings false\npersistence false\nallow_anonymous false\npassword_file {users}\n"
        f"acl_file {rules}\nlistener {port} 127.0.0.1\nlistener {secure} 127.0.0.1\n"
        f"certfile {certificate[0]}\nkeyfile {certificate[1]}\n"
    )
    async with running("mosquitto", "-c", str(folder / "mosquitto.conf"), port=port):
        yield port, secure

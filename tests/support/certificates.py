"""Certificates for tests, made with openssl in a given folder: an authority, and whom it vouches for."""

import subprocess
from pathlib import Path

KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']


class Authority:
    """A certificate authority that nobody knows but who is given its certificate.

    Args:
        folder: Where its files are.
        name: Its name, and the beginning of theirs.

    Attributes:
        certificate: The path of its own certificate.
    """

    def __init__(self, folder: Path, name: str = 'authority') -> None:
        self.folder = folder
        self.certificate = folder / f'{name}.pem'
        self._key = folder / f'{name}.key'
        written = ['-keyout', str(self._key), '-out', str(self.certificate)]
        openssl('req', '-x509', *KEY, '-days', '2', '-subj', f'/CN={name}', *written)

    def issue(self, name: str, *, days: int = 2) -> tuple[Path, Path]:
        """Make a certificate for a host or a client, and return its path and that of its key.

        Args:
            name: Whom it is for.
            days: For how long from now; negative for one that has expired.
        """
        certificate, key, request = (self.folder / f'{name}{end}' for end in ('.pem', '.key', '.csr'))
        openssl('req', *KEY, '-subj', f'/CN={name}', '-keyout', str(key), '-out', str(request))
        names = self.folder / f'{name}.names'
        names.write_text(f'subjectAltName=DNS:{name}\n')
        signed_by = ['-CA', str(self.certificate), '-CAkey', str(self._key), '-CAcreateserial']
        made = ['-in', str(request), '-out', str(certificate), '-extfile', str(names), '-days', str(days)]
        openssl('x509', '-req', *signed_by, *made)
        return certificate, key


def openssl(*arguments: str) -> None:
    """Run openssl.

    Raises:
        RuntimeError: It failed; with what it said.
    """
    done = subprocess.run(['openssl', *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f'openssl {arguments[0]} failed: {done.stderr}')

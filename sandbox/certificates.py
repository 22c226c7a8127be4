"""The instance's certificate authority and what it signs: servers by IP address, clients by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from sandbox.instance import Instance, write_privately

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec

_OWNER = "meetinity-data sandbox"


def ensure_ca(instance: Instance) -> None:
    """Create the CA at `instance.ca_certificate` and `instance.ca_key`, once in the instance's life."""
    if not instance.ca_certificate.exists():
        authority = trustme.CA(organization_name=_OWNER, organization_unit_name=instance.name)
        _write(instance.ca_key, authority.private_key_pem)
        _write(instance.ca_certificate, authority.cert_pem)
        instance.ca_certificate.chmod(0o644)


def issue(
    instance: Instance,
    name: str,
    *,
    addresses: Sequence[str] = (),
    common_name: str | None = None,
    organization: str = _OWNER,
    client: bool = False,
    directory: Path,
) -> tuple[Path, Path]:
    """Return certificate and key, <directory>/<name>.crt and .key; reused while they stand for the same names.

    A server's certificate carries `addresses`; a client's is known by `common_name` (default: `name`) and its
    organization, which Kubernetes reads as user and group.
    """
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    wanted = (common_name or name, organization, sorted([name] if client else addresses))
    authority = instance.ca_certificate.read_bytes()
    if not key.exists() or _names(certificate, authority) != wanted:
        signed = trustme.CA.from_pem(authority, instance.ca_key.read_bytes()).issue_cert(
            *wanted[2], common_name=wanted[0], organization_name=organization
        )
        # Key first: a pair left half-written by a crash then lacks its certificate.
        certificate.unlink(missing_ok=True)
        _write(key, signed.private_key_pem)
        _write(certificate, signed.cert_chain_pems[0])
        certificate.chmod(0o644)
    return certificate, key


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key as unencrypted PKCS#8 PEM, readable by its owner alone."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_privately(path, pem.decode())


def _write(path: Path, pem: trustme.Blob) -> None:
    write_privately(path, pem.bytes().decode())


def _names(path: Path, authority: bytes) -> tuple[str, str, list[str]] | None:
    """Common name, organization and alternative names of a certificate; None when it is damaged, or of an older CA."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except (OSError, ValueError, TypeError, InvalidSignature):
        return None
    subject = {str(attribute.rfc4514_attribute_name): str(attribute.value) for attribute in certificate.subject}
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return subject["CN"], subject["O"], sorted(str(each.value) for each in alternatives)

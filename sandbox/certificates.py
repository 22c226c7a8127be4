"""The instance's certificate authority and what it signs: servers by IP address, clients by name."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.instance import Instance, write_privately

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CA_LIFETIME = timedelta(days=3650)
_LIFETIME = timedelta(days=730)
_RENEW_BEFORE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)


def ensure_ca(instance: Instance) -> None:
    """Create the CA at `instance.ca_certificate` and `instance.ca_key`, once in the instance's life."""
    if instance.ca_certificate.exists() and instance.ca_key.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"meetinity-data sandbox {instance.name}", [])
    usage = _key_usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), key.public_key(), _CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    write_key(instance.ca_key, key)
    _write_certificate(instance.ca_certificate, certificate)


def issue(
    instance: Instance,
    name: str,
    *,
    addresses: Sequence[str] = (),
    hosts: Sequence[str] = (),
    common_name: str | None = None,
    organizations: Sequence[str] = (),
    client: bool = False,
    directory: Path,
) -> tuple[Path, Path]:
    """Return certificate and key, <directory>/<name>.crt and .key; reused while they stand for the same names.

    A server's certificate carries `addresses` and `hosts`; a client's is known by `common_name`
    (default: `name`) and `organizations`, which Kubernetes reads as user and groups.
    """
    certificate_path, key_path = directory / f"{name}.crt", directory / f"{name}.key"
    authority = x509.load_pem_x509_certificate(instance.ca_certificate.read_bytes())
    subject = _name(common_name or name, organizations)
    alternatives = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        + [x509.DNSName(host) for host in hosts]
    )
    if key_path.exists() and _still_good(certificate_path, authority, subject, alternatives):
        return certificate_path, key_path

    authority_key = serialization.load_pem_private_key(instance.ca_key.read_bytes(), None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{instance.ca_key} does not hold the EC key that this module writes")
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        _builder(subject, authority.subject, key.public_key(), authority_key.public_key(), _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )
    if list(alternatives):
        builder = builder.add_extension(alternatives, critical=False)
    # Key first: a pair left half-written by a crash then fails the check above, or at worst the handshake's.
    certificate_path.unlink(missing_ok=True)
    write_key(key_path, key)
    _write_certificate(certificate_path, builder.sign(authority_key, hashes.SHA256()))
    return certificate_path, key_path


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a private key as unencrypted PKCS#8 PEM, readable by its owner alone."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_privately(path, pem.decode())


def _still_good(
    path: Path, authority: x509.Certificate, subject: x509.Name, alternatives: x509.SubjectAlternativeName
) -> bool:
    if not path.exists():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):  # damaged, or of an older CA
        return False
    present: list[x509.GeneralName] = []
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            present = list(extension.value)
    enough_time = certificate.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE
    return enough_time and certificate.subject == subject and present == list(alternatives)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(**allowed: bool) -> x509.KeyUsage:
    fields = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{field: allowed.get(field, False) for field in fields.split()})


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    write_privately(path, certificate.public_bytes(serialization.Encoding.PEM).decode())
    path.chmod(0o644)

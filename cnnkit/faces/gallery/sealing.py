"""How a gallery's values are stored: as they are, or sealed with a passphrase.

A passphrase becomes two keys by scrypt (RFC 7914): one seals every name, path, vector and the
settings with AES-256-GCM, the other turns what must be found again (a name, a photo's content)
into tokens by HMAC-SHA-256. What a value belongs to (the gallery, its row, its person) is the
associated data of its seal: a value that was changed, or moved to another row, person or gallery,
does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from cnnkit.errors import GalleryError, UsageError, broken_rule

FORMAT = b"cnnkit gallery 1"
KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
SALT_BYTES = 16
# What sealing adds to a value.
SEAL_BYTES = NONCE_BYTES + TAG_BYTES
MAX_DERIVATION_LENGTH = 500
# scrypt needs 128 * cost * block_size bytes.
MAX_DERIVATION_BYTES = 256 << 20
MAX_PARALLEL = 16
LEAST_PASSPHRASE = 8


def check_new_passphrase(text: str, name: str = "`passphrase`") -> None:
    """Refuse a passphrase for a new gallery that could be found by trying.

    Raises:
        UsageError: It is shorter than 8 characters; the message calls it by `name`.
    """
    if len(text) < LEAST_PASSPHRASE:
        rule = f"have at least {LEAST_PASSPHRASE} characters"
        raise UsageError(broken_rule(name, rule, len(text)))


class Sealing(Protocol):
    """Turns values into what is stored, and back."""

    def token(self, kind: str, value: bytes) -> bytes:
        """Return 32 bytes by which a value is found again."""

    def seal(self, value: bytes, context: Sequence[bytes]) -> bytes:
        """Return a value as it is stored in a place that `context` names."""

    def unseal(self, stored: bytes, context: Sequence[bytes]) -> bytes:
        """Return the value of what is stored in that place.

        Raises:
            GalleryError: It is not what was stored there.
        """


@dataclass(frozen=True)
class KeyDerivation:
    """How a passphrase becomes keys.

    Attributes:
        salt: 16 random bytes in hexadecimal.
        cost: scrypt's N, a power of 2; memory is 128 * cost * block_size bytes.
        block_size: scrypt's r.
        parallel: scrypt's p.
        verifier: Tells a wrong passphrase from a changed file, 32 bytes in hexadecimal.
    """

    salt: str
    cost: int = 1 << 17
    block_size: int = 8
    parallel: int = 1
    verifier: str = ""

    def __post_init__(self) -> None:
        numbers = (self.cost, self.block_size, self.parallel)
        if not all(type(n) is int and n >= 1 for n in numbers):
            raise GalleryError(broken_rule("scrypt's numbers", "be whole and over 0", numbers))
        power = self.cost >= 2 and self.cost & (self.cost - 1) == 0
        memory = 128 * self.cost * self.block_size
        if not power or memory > MAX_DERIVATION_BYTES or self.parallel > MAX_PARALLEL:
            rule = f"need at most {MAX_DERIVATION_BYTES >> 20} MiB, N being a power of 2"
            raise GalleryError(broken_rule("scrypt", rule, f"N, r, p = {numbers}"))
        for what, length in (("salt", SALT_BYTES), ("verifier", KEY_BYTES)):
            _check_hexadecimal(what, getattr(self, what), length)

    def to_text(self) -> str:
        """Return the derivation as JSON."""
        return json.dumps({"name": "scrypt", **asdict(self)}, sort_keys=True)

    @classmethod
    def from_text(cls, text: Any) -> KeyDerivation:
        """Return the derivation that `to_text` wrote, every value checked and bounded.

        Raises:
            GalleryError: It is not of this form.
        """
        try:
            if not isinstance(text, str) or len(text) > MAX_DERIVATION_LENGTH:
                raise ValueError("no text of its length")
            values = json.loads(text)
            if values.pop("name") != "scrypt":
                raise ValueError("another derivation than scrypt")
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            rule = "say how the passphrase becomes a key"
            raise GalleryError(broken_rule("the gallery", rule, str(error)[:100])) from error


def _check_hexadecimal(what: str, text: Any, length: int) -> None:
    try:
        fits = not text or len(bytes.fromhex(text)) == length
    except (ValueError, TypeError):
        fits = False
    if not fits:
        raise GalleryError(broken_rule(what, f"be {length} bytes in hexadecimal", repr(text)[:60]))


class OpenValues:
    """Stores values as they are; tokens are plain hashes."""

    def token(self, kind: str, value: bytes) -> bytes:
        """See `Sealing`."""
        return hashlib.sha256(joined([FORMAT, kind.encode(), value])).digest()

    def seal(self, value: bytes, context: Sequence[bytes]) -> bytes:
        """See `Sealing`."""
        return value

    def unseal(self, stored: bytes, context: Sequence[bytes]) -> bytes:
        """See `Sealing`."""
        return stored


class SealedValues:
    """Seals values with AES-256-GCM under the keys of a passphrase."""

    def __init__(self, keys: bytes, gallery: bytes) -> None:
        """Take the keys.

        Args:
            keys: 64 bytes, of `derive_keys`.
            gallery: The gallery's own 16 random bytes.
        """
        self._cipher = import_aes_gcm()(keys[:KEY_BYTES])
        self._token_key = keys[KEY_BYTES:]
        self._gallery = gallery

    def token(self, kind: str, value: bytes) -> bytes:
        """See `Sealing`."""
        return hmac.digest(self._token_key, joined([FORMAT, kind.encode(), value]), "sha256")

    def seal(self, value: bytes, context: Sequence[bytes]) -> bytes:
        """See `Sealing`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, self._associated(context))

    def unseal(self, stored: bytes, context: Sequence[bytes]) -> bytes:
        """See `Sealing`."""
        from cryptography.exceptions import InvalidTag

        nonce, sealed = stored[:NONCE_BYTES], stored[NONCE_BYTES:]
        try:
            if len(sealed) < TAG_BYTES:
                raise InvalidTag
            return self._cipher.decrypt(nonce, sealed, self._associated(context))
        except InvalidTag as error:
            what = context[0].decode()
            raise GalleryError(
                f"a sealed {what} does not open: the file was changed after it was written."
            ) from error

    def _associated(self, context: Sequence[bytes]) -> bytes:
        return joined([FORMAT, self._gallery, *context])


def joined(parts: Sequence[bytes]) -> bytes:
    """Return parts as one text that no other parts give: each behind its length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def new_sealing(
    passphrase: bytes, gallery: bytes, cost: int = KeyDerivation.cost
) -> tuple[SealedValues, KeyDerivation]:
    """Return the sealing of a new gallery, and how its keys are found again.

    Args:
        passphrase: Passphrase of the user, see `read_passphrase`.
        gallery: The gallery's own 16 random bytes.
        cost: The cost parameter N of scrypt.
    """
    derivation = KeyDerivation(secrets.token_hex(SALT_BYTES), cost)
    keys = derive_keys(passphrase, derivation)
    verified = {**asdict(derivation), "verifier": _verifier(keys, gallery).hex()}
    return SealedValues(keys, gallery), KeyDerivation(**verified)


def known_sealing(passphrase: bytes, gallery: bytes, derivation: KeyDerivation) -> SealedValues:
    """Return the sealing of a gallery that exists.

    Raises:
        GalleryError: The passphrase is another one.
    """
    keys = derive_keys(passphrase, derivation)
    if not hmac.compare_digest(_verifier(keys, gallery), bytes.fromhex(derivation.verifier)):
        raise GalleryError("the passphrase is not the one that it was made with.")
    return SealedValues(keys, gallery)


def _verifier(keys: bytes, gallery: bytes) -> bytes:
    return hmac.digest(keys[KEY_BYTES:], joined([FORMAT, b"verifier", gallery]), "sha256")


def derive_keys(passphrase: bytes, derivation: KeyDerivation) -> bytes:
    """Return the two keys of a passphrase, 64 bytes.

    Raises:
        UsageError: The library is not installed.
    """
    import_aes_gcm()
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    function = Scrypt(
        salt=bytes.fromhex(derivation.salt),
        length=2 * KEY_BYTES,
        n=derivation.cost,
        r=derivation.block_size,
        p=derivation.parallel,
    )
    return function.derive(passphrase)


def import_aes_gcm() -> Any:
    """Return the cipher's class of `cryptography`, an extra.

    Raises:
        UsageError: It is not installed; the message says how to.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise UsageError(
            "An encrypted gallery needs cryptography. Install it with: "
            "pip install 'cnnkit[encryption]'."
        ) from error
    return AESGCM

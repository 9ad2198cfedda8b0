"""The name of an encoder: `family:model[@revision][?option=value&option=value]`.

    timm:resnet50.a1_in1k?pooling=max
    transformers-text:intfloat/e5-small@ffb93f3?query_prompt=query:
    clap:./my-clap-folder
    clip:s3://bucket/models/my-clip

An option's value may hold anything; & and % are written %26 and %25. The whole of it stands in one string, so it goes
into a recipe, into `reelvec.load` and onto a command line as it is. Options decide vectors, so they are part of the
fingerprint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from transforms.encoders.family import family
from transforms.errors import UsageError

#: What every family understands; each of them adds its own in `describe`.
COMMON_OPTIONS = ("dimensions", "matryoshka", "pca", "adapter", "precision", "compile", "unsafe")


@dataclass(frozen=True, slots=True)
class Name:
    """A parsed name; `model` is a hub id, a local folder (absolute, or starting with . or ~) or a bucket's URL."""

    family: str
    model: str
    revision: str = ""  # of a hub id: a commit, a tag or a branch; "" is the default one
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UsageError for a text that is no name."""
        rest, _, asked = text.partition("?")
        family, colon, model = rest.partition(":")
        if not colon or not family or not model:
            raise UsageError(f"an encoder is named family:model, e.g. timm:resnet50.a1_in1k: name={text!r}")
        revision = ""
        if not cls._is_place(model):
            model, _, revision = model.partition("@")
        options: list[tuple[str, str]] = []
        for part in filter(None, asked.split("&")):
            key, equals, value = part.partition("=")
            if not equals:
                raise UsageError(f"an option of an encoder is key=value: option={part!r}, name={text!r}")
            if key in dict(options):
                raise UsageError(f"an option of an encoder stands once: option={key!r}, name={text!r}")
            options.append((key, value.replace("%26", "&").replace("%25", "%")))
        return cls(family, model, revision, tuple(sorted(options)))

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        options = "&".join(f"{key}={value.replace('%', '%25').replace('&', '%26')}" for key, value in self.options)
        return f"{self.family}:{self.model}{revision}{'?' + options if options else ''}"

    @property
    def shown(self) -> str:
        """The name for messages; of a service without its options' values, where somebody may have put a key."""
        try:
            guarded = family(self.family).weights == "service"
        except UsageError:
            guarded = False
        return str(replace(self, options=tuple((key, "...") for key, _ in self.options)) if guarded else self)

    @staticmethod
    def _is_place(model: str) -> bool:
        return model.startswith(("/", "./", "../", "~")) or "://" in model

    @property
    def is_local(self) -> bool:
        """Whether the model is a folder of this machine."""
        return self._is_place(self.model) and not self.is_bucket

    @property
    def is_bucket(self) -> bool:
        """Whether the model lies in a bucket (gs://, s3://)."""
        return "://" in self.model

    def option(self, key: str, default: str = "") -> str:
        """The value of an option, as text."""
        return dict(self.options).get(key, default)

    def number(self, key: str, default: int) -> int:
        """The value of an option that is a whole number above zero; raises UsageError for another."""
        if key not in dict(self.options):
            return default
        text = self.option(key)
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(f"the option {key!r} is a whole number above zero: {key}={text!r}, name={self.shown!r}")
        return int(text)

    def flag(self, key: str) -> bool:
        """Whether an option is "true"; raises UsageError for anything but true and false."""
        text = self.option(key, "false")
        if text not in ("true", "false"):
            raise UsageError(f"the option {key!r} is true or false: {key}={text!r}, name={self.shown!r}")
        return text == "true"

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """The value of an option that is one of these, the first by default; raises UsageError for another."""
        text = self.option(key, allowed[0])
        if text not in allowed:
            raise UsageError(f"the option {key!r} is one of {', '.join(allowed)}: {key}={text!r}, name={self.shown!r}")
        return text

    def check_options(self, *known: str) -> None:
        """Raise UsageError for an option that neither the family knows nor every family does."""
        for key, _ in self.options:
            if key not in (*known, *COMMON_OPTIONS):
                raise UsageError(
                    f"{self.family} has no option {key!r}; it has {', '.join((*known, *COMMON_OPTIONS))}: "
                    f"name={self.shown!r}"
                )

    def with_options(self, options: Mapping[str, str]) -> Self:
        """The same name with these options too; they win over those that it has."""
        merged = {**dict(self.options), **options}
        return replace(self, options=tuple(sorted(merged.items())))

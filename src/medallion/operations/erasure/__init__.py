"""Erasure: the replacement of a customer's id by a random pseudonym, everywhere in a home."""

from medallion.operations.erasure.act import ForgetReport, forget

__all__ = ["ForgetReport", "forget"]

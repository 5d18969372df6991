"""Erasure: a customer's id replaced by a random pseudonym wherever the home holds it."""

from medallion.operations.erasure.act import ForgetReport, forget

__all__ = ["ForgetReport", "forget"]

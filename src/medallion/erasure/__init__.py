"""Erasure: a customer's id replaced by a random pseudonym wherever the home holds it."""

from medallion.erasure.act import ForgetReport, forget

__all__ = ["ForgetReport", "forget"]

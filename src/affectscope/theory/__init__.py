"""Appraisal theory as data: a leaf that needs no model."""

from affectscope.theory.table import SOURCES, Prediction, prediction_matrix, predictions

__all__ = ["SOURCES", "Prediction", "prediction_matrix", "predictions"]

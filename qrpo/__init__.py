"""Quantile Reward Policy Optimization: quantiles, losses, the trainer, and the pipeline around them.

from qrpo.trainer import QRPOConfig, QRPOTrainer
"""

"""The texts of the diagnostics and of the figures of a comparison."""

from collections.abc import Mapping

DIAGNOSTICS: Mapping[str, tuple[str, str]] = {
    "why_heading": ("### Why", "### 이유"),
    "half_life_column": (
        "gradient's half-life, steps: before, trained", "기울기의 반감기(스텝): 학습 전, 학습 후",
    ),
    "reach_column": ("reach: before, trained", "도달 거리: 학습 전, 학습 후"),
    "reach_of": ("{before}, {trained} of {steps}", "{before}, {trained} (전체 {steps})"),
    "clipped_column": ("updates clipped", "잘린 갱신"),
    "needed_column": (
        "last steps needed, earlier ones cut, shuffled, replaced",
        "필요한 마지막 스텝 수: 앞을 자를 때, 섞을 때, 바꿀 때",
    ),
    "first_fraction_column": ("first fraction needed", "필요한 앞부분의 비율"),
    "none_at_chance": ("none: at chance", "없음: 우연 수준"),
    "one_length": (
        "All test sequences are of one length.", "모든 시험 시퀀스의 길이가 같습니다.",
    ),
    "steps_column": ("steps", "스텝"),
    # Figures
    "axis_cells": (
        "test accuracy (%): seeds, mean, {confidence} interval over seeds and test rows",
        "시험 정확도(%): 시드별, 평균, 시드와 시험 행에 대한 {confidence} 구간",
    ),
    "axis_test_accuracy": ("test accuracy (%)", "시험 정확도(%)"),
    "axis_validation_accuracy": ("validation accuracy (%)", "검증 정확도(%)"),
    "axis_loss": ("cross-entropy (nats)", "교차 엔트로피(nat)"),
    "axis_epoch": ("epoch", "에포크"),
    "line_training": ("{name} training", "{name} 학습"),
    "line_validation": ("{name} validation", "{name} 검증"),
    "line_before": ("{name}, before training", "{name}, 학습 전"),
    "line_trained": ("{name}, trained", "{name}, 학습 후"),
    "line_cut": ("{name}, earlier cut", "{name}, 앞을 자름"),
    "line_shuffled": ("{name}, earlier shuffled", "{name}, 앞을 섞음"),
    "line_replaced": ("{name}, earlier replaced", "{name}, 앞을 바꿈"),
    "axis_before_end": ("steps before the end", "끝에서 센 스텝"),
    "axis_relative": ("relative to the end", "끝에 대한 비"),
    "title_reach": ("Gradient of the loss", "손실의 기울기"),
    "title_half_life": ("Half-life of the gradient in training", "학습 중 기울기의 반감기"),
    "axis_clipped": ("updates clipped (%)", "잘린 갱신(%)"),
    "title_clipped": ("Clipped updates", "잘린 갱신"),
    "axis_kept": ("steps kept at the end", "남긴 마지막 스텝 수"),
    "title_past": ("How much of the past is needed", "과거가 얼마나 필요한가"),
    "axis_read": ("fraction of the sequence read", "읽은 부분의 비율"),
    "title_read": ("Accuracy by fraction read", "읽은 비율별 정확도"),
    "axis_length": ("steps of the sequence", "시퀀스의 스텝 수"),
    "title_length": ("Accuracy by length", "길이별 정확도"),
}  # fmt: skip

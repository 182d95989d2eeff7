"""The texts of the report of a prediction."""

from collections.abc import Mapping

PREDICTION: Mapping[str, tuple[str, str]] = {
    "prediction_title": ("{name}: predictions", "{name}: 예측 결과"),
    "predicted_by": ("by the model {model}", "모델 {model}"),
    "counts_sentence": (
        "{predicted:,} of {total:,} {items} have a prediction; without one: {missing:,}.",
        "{items} {total:,}개 중 {predicted:,}개를 예측했고, {missing:,}개는 예측하지 못했습니다.",
    ),
    "counts_sentence_all": (
        "All {total:,} {items} have a prediction.",
        "{items} {total:,}개를 모두 예측했습니다.",
    ),
    "accuracy_sentence": (
        "Where the true class is known ({count:,}), {accuracy} are right ({interval}).",
        "정답을 아는 {count:,}개 중 {accuracy}가 맞았습니다({interval}).",
    ),
    "sure_sentence": (
        "The mean confidence is {confidence}: about so many are expected to be right, as long as "
        "the inputs are like the training data.",
        "평균 확신도는 {confidence}입니다. 입력이 학습 데이터와 비슷하다면 대략 이만큼이 맞을 것으로 예상됩니다.",
    ),
    "counts": ("Counts of each class", "클래스별 개수"),
    "counts_several": (
        "An input may have several labels, or none: each share is one of all predictions.",
        "입력 하나에 라벨이 여러 개이거나 없을 수 있으므로, 각 비율은 전체 예측에 대한 비율입니다.",
    ),
    "training_share": ("in training", "학습 데이터에서"),
    "missing": ("without a prediction", "예측하지 못함"),
    "reasons": ("Inputs without a prediction", "예측하지 못한 입력"),
    "reason": ("reason", "이유"),
    "reason_empty": ("empty", "비어 있음"),
    "reason_unreadable": ("unreadable", "읽을 수 없음"),
    "reason_wrong type": ("not a file of this kind", "다른 종류의 파일"),
    "reason_wrong shape": ("another shape than in training", "학습 때와 다른 형태"),
    "reason_too long": ("too long", "너무 김"),
    "reason_truncated": ("truncated", "파일이 잘림"),
    "reason_silent": ("silent", "무음"),
    "reason_not finite": ("not finite numbers", "유한하지 않은 수"),
    "reason_rejected": ("rejected: too uncertain", "거절: 확신도가 낮음"),
    "reason_timed out": ("timed out", "시간 초과"),
    "reason_unknown label": ("unknown label", "알 수 없는 라벨"),
    "reason_crashed": ("crashed the decoder", "디코더 비정상 종료"),
    "example": ("for example", "예"),
    "world": ("Has the world changed?", "입력이 달라졌는가"),
    "world_old": (
        "This cannot be told: the model's bundle has no statistics of its training rows (it was "
        "made by an earlier version). Train it again.",
        "알 수 없습니다. 이 모델의 번들에는 학습 데이터의 통계가 없습니다(이전 버전에서 만든 모델). 다시 학습하세요.",
    ),
    "world_engine": (
        "This cannot be told with --engine ray: its workers keep no statistics of the inputs.",
        "--engine ray에서는 알 수 없습니다. 작업자가 입력의 통계를 남기지 않습니다.",
    ),
    "world_few": (
        "This cannot be told: it takes at least {least} {items} that can be read.",
        "알 수 없습니다. 읽을 수 있는 {items} 수가 {least}개 이상이어야 합니다.",
    ),
    "world_same": (
        "No: in nothing that was measured do these {items} differ from the training data beyond "
        "chance ({count} quantities, at most 5 % false alarms together).",
        "아닙니다. 측정한 {count}가지 모두에서 이번 {items} 묶음은 학습 데이터와 우연 이상의 차이가 없습니다(거짓 경보는 모두 합쳐 5% 이하).",
    ),
    "world_changed": (
        "Yes: {changed} of {count} quantities differ from the training data beyond chance. "
        "Confidences and accuracies from training need not hold here.",
        "달라졌습니다. {count}가지 중 {changed}가지가 학습 데이터와 우연 이상으로 다릅니다. 학습 때의 확신도와 정확도가 "
        "여기서는 맞지 않을 수 있습니다.",
    ),
    "world_table": ("All quantities", "모든 항목"),
    "quantity": ("quantity", "항목"),
    "before": ("training, median or fraction", "학습, 중앙값 또는 비율"),
    "now": ("here, median or fraction", "현재, 중앙값 또는 비율"),
    "distance": ("distance", "거리"),
    "p_value": ("p, Holm", "p 값(Holm)"),
    "quantity_mean": ("level of features {which}", "특성 {which}의 수준"),
    "quantity_std": ("movement of features {which}", "특성 {which}의 변동"),
    "quantity_num_steps": ("length in steps", "길이(스텝)"),
    "quantity_information": ("rarity of the tokens (nats)", "토큰의 희귀도(nat)"),
    "quantity_unknown": ("fraction of unknown tokens", "모르는 토큰의 비율"),
    "quantity_missing": ("fraction of rows without it", "이것이 없는 행의 비율"),
    "quantity_value": ("value", "값"),
    "quantity_share": ("fraction of “{which}”", "“{which}”의 비율"),
    "quantity_other": ("fraction of other categories", "그 밖의 범주의 비율"),
    "quantity_confidence": ("confidence", "확신도"),
    "change_higher": ("{quantity}: higher ({before} in training, {now} here)",
                      "{quantity}: 높아짐(학습 {before}, 현재 {now})"),
    "change_lower": ("{quantity}: lower ({before} in training, {now} here)",
                     "{quantity}: 낮아짐(학습 {before}, 현재 {now})"),
    "change_spread": ("{quantity}: distributed otherwise (median {now})",
                      "{quantity}: 분포가 달라짐(중앙값 {now})"),
    "in_training": (
        "{share} of these {items} ({count:,}) were used to train or choose this model: its labels "
        "and confidences for them tell nothing of how good it is.",
        "이 {items} 중 {share}({count:,}개)는 이 모델을 학습하거나 고르는 데 쓰였습니다. 이들에 대한 라벨과 확신도로는 모델의 "
        "성능을 알 수 없습니다.",
    ),
    "by_folder": ("By sub-folder", "하위 폴더별"),
    "by_column": ("By '{name}'", "'{name}'별"),
    "groups_about": (
        "Accuracies where labels are known; the intervals hold for all rows together (95 %, "
        "Bonferroni), p is of 'as accurate as the rest', adjusted by Holm.",
        "정답을 아는 경우의 정확도입니다. 구간은 모든 행에 대해 함께 성립하며(95%, Bonferroni), p는 '나머지와 정확도가 같다'에 대한 "
        "값으로 Holm 방식으로 보정했습니다.",
    ),
    "group": ("group", "그룹"),
    "accuracy": ("accuracy", "정확도"),
    "mean_confidence": ("mean confidence", "평균 확신도"),
    "differs_lower": ("less accurate than the rest", "나머지보다 부정확"),
    "differs_higher": ("more accurate than the rest", "나머지보다 정확"),
    "least_sure": ("Least sure first", "확신이 가장 낮은 것부터"),
    "least_sure_about": (
        "The {count} predictions with the lowest confidence: correct these first, and train on "
        "them.",
        "확신도가 가장 낮은 예측 {count}개입니다. 이것부터 바로잡아 학습에 쓰면 효과가 큽니다.",
    ),
    "segments_only": (
        "This model labels parts of a recording; the page counts recordings, not segments.",
        "이 모델은 녹음의 구간에 라벨을 붙입니다. 이 페이지는 구간이 아니라 녹음을 셉니다.",
    ),
}  # fmt: skip

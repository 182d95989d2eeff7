"""The texts of the advice after a training."""

from collections.abc import Mapping

ADVICE: Mapping[str, tuple[str, str]] = {
    "advice_heading": ("### Advice", "### 조언"),
    "advice": ("{finding}: {remedy} ({setting}).", "{finding}. {remedy}({setting})."),
    "advice_line": (
        "- **{cell}**, {count}: {finding}: {remedy} (`{setting}`).",
        "- **{cell}**, {count}: {finding}. {remedy}(`{setting}`).",
    ),
    "remedy_of": ("{remedy} ({setting})", "{remedy}({setting})"),
    "of_models": ("{some} of {count} models", "모델 {count}개 중 {some}개"),
    "of_model": ("{some} of {count} model", "모델 {count}개 중 {some}개"),
    "finding_chance": (
        "the training loss ended at {loss}, where chance is {chance}: the network has hardly fitted "
        "the training rows",
        "학습 손실이 {loss}에서 끝났고 우연 수준은 {chance}이어서, 신경망이 학습 행을 거의 익히지 못했습니다",
    ),
    "remedy_chance": (
        "try another learning rate, smaller batches and more updates",
        "학습률을 바꾸고, 배치를 줄이고, 갱신 횟수를 늘려 보세요",
    ),
    "remedy_chance_scaled": (
        "try another learning rate, smaller batches and more updates, and scale each sequence",
        "학습률을 바꾸고, 배치를 줄이고, 갱신 횟수를 늘리고, 시퀀스마다 크기를 맞추어 보세요",
    ),
    "finding_half": (
        "the training loss ended at {loss}, more than half of chance ({chance}): the training rows "
        "are not fitted",
        "학습 손실이 {loss}에서 끝나 우연 수준({chance})의 절반을 넘으므로, 학습 행을 다 익히지 못했습니다",
    ),
    "remedy_half": (
        "train longer, with smaller batches, or take a wider network",
        "배치를 줄여 더 오래 학습하거나 더 넓은 신경망을 쓰세요",
    ),
    "finding_last_best": (
        "the last epoch of {last} was the best on validation ({accuracy})",
        "마지막({last}번째) 에포크의 검증 결과가 가장 좋았습니다({accuracy})",
    ),
    "remedy_longer": ("train longer", "더 오래 학습하세요"),
    "finding_overfits": (
        "validation was best after epoch {best} of {last} ({accuracy}, {at_end} at the end) while "
        "the training loss fell from {first_loss} to {last_loss}: it overfits",
        "검증 결과는 {last} 에포크 중 {best}번째에 가장 좋았고({accuracy}, 끝에서는 {at_end}) 학습 손실은 "
        "{first_loss}에서 {last_loss}(으)로 내려가 과적합되었습니다",
    ),
    "remedy_overfits": (
        "regularise it, or add training rows", "규제를 더하거나 학습 행을 늘리세요",
    ),
    "finding_clipped": (
        "{clipped} of the later updates were clipped to a norm of {limit}; the mean norm was {norm}",
        "후반 갱신의 {clipped}에서 기울기가 노름 {limit}(으)로 잘렸고, 노름의 평균은 {norm}이었습니다",
    ),
    "remedy_clipped": (
        "clip at the mean norm or above it, or lower the learning rate",
        "평균 노름 이상에서 자르거나 학습률을 낮추세요",
    ),
    "finding_never": (
        "never predicted on validation: {names} ({count:,} of {total:,} rows)",
        "검증에서 한 번도 예측하지 않은 클래스: {names}({total:,}행 중 {count:,}행)",
    ),
    "names_and_more": ("{names} and {count:,} more", "{names} 외 {count:,}개"),
    "remedy_never": (
        "weigh the classes equally, or add rows of these",
        "클래스에 같은 가중치를 주거나 이 클래스의 행을 늘리세요",
    ),
    "finding_neglected": (
        "macro-F1 ({macro_f1}) is far below accuracy ({accuracy}) on validation: rare classes are "
        "neglected",
        "검증에서 매크로 F1({macro_f1})이 정확도({accuracy})보다 훨씬 낮아, 드문 클래스를 놓치고 있습니다",
    ),
    "remedy_neglected": ("weigh the classes equally", "클래스에 같은 가중치를 주세요"),
    "finding_unread": (
        "{share} of the training steps are never read", "학습 스텝의 {share}를 한 번도 읽지 않습니다",
    ),
    "remedy_unread": (
        "read more steps, or other ones in every epoch (windows)",
        "더 많은 스텝을 읽거나, 에포크마다 다른 스텝을 읽게 하세요(windows)",
    ),
    "finding_no_validation": (
        "without validation rows the best epoch cannot be chosen",
        "검증 행이 없어 가장 좋은 에포크를 고를 수 없습니다",
    ),
    "finding_few_validation": (
        "{count} validation rows are too few to choose the best epoch by",
        "검증 행이 {count}개뿐이어서 가장 좋은 에포크를 고르기에 너무 적습니다",
    ),
    "finding_lacking": (
        "the validation rows lack {missing} of {count} classes",
        "검증 행에 클래스 {count}개 중 {missing}개가 없습니다",
    ),
    "remedy_validation": (
        "take a larger part of the rows for validation",
        "더 많은 행을 검증에 쓰세요",
    ),
}  # fmt: skip

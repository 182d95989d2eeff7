"""The texts of the controls, and of what they say of the best cell."""

from collections.abc import Mapping

CONTROLS: Mapping[str, tuple[str, str]] = {
    # Name, what it reads, and what may hold where it does as well as the best cell
    "control_no-recurrence": ("no recurrence", "순환 구조 없음"),
    "reads_no-recurrence": (
        "The cells' network without its recurrent layer, trained once as they are.",
        "순환층을 뺀 같은 신경망을 같은 방식으로 한 번 학습.",
    ),
    "implies_no-recurrence": ("recurrence may gain nothing here", "여기서는 순환 구조의 이득이 없을 수 있음"),
    "control_alone": ("{name} alone", "{name}만"),
    "reads_input": (
        "The cells' network on the input '{name}' alone, trained once as they are.",
        "같은 신경망을 입력 '{name}'만으로 같은 방식으로 한 번 학습.",
    ),
    "implies_input": ("the input '{name}' may suffice here", "여기서는 입력 '{name}'만으로 충분할 수 있음"),
    "reads_section": (
        "The thirds and spectrum of the features of section {number} ({kind}) alone, by logistic "
        "regression.",
        "특성 구역 {number}({kind})의 삼등분 통계와 스펙트럼만, 로지스틱 회귀.",
    ),
    "implies_section": (
        "the section {number} of the features ({kind}) may suffice here",
        "여기서는 특성 구역 {number}({kind})만으로 충분할 수 있음",
    ),
    "control_majority": ("majority class", "가장 흔한 클래스"),
    "reads_majority": (
        "The most frequent class of the training rows, whatever the sequence.",
        "시퀀스와 관계없이 학습 행에서 가장 흔한 클래스.",
    ),
    "implies_majority": ("the best cell may have learned nothing", "가장 좋은 모델도 배운 것이 없을 수 있음"),
    "control_length": ("length only", "길이만"),
    "reads_length": (
        "How many steps a sequence has, by a decision tree.", "시퀀스의 스텝 수, 결정 트리.",
    ),
    "implies_length": ("the length may reveal the class here", "여기서는 길이가 클래스를 드러낼 수 있음"),
    "control_columns": ("columns alone", "열만"),
    "reads_columns": (
        "The columns of the manifest without any sequence, by a random forest.",
        "시퀀스 없이 표의 열만, 랜덤 포레스트.",
    ),
    "implies_columns": ("the columns may suffice here", "여기서는 열만으로 충분할 수 있음"),
    "control_statistics": ("summary statistics", "요약 통계"),
    "reads_statistics": (
        "Mean, deviation, extremes and quantiles of each feature over the steps, in no order, by "
        "logistic regression.",
        "특성마다 모든 스텝의 평균, 편차, 최솟값, 최댓값, 분위수(순서 없이), 로지스틱 회귀.",
    ),
    "implies_statistics": ("order may not matter here", "여기서는 순서가 중요하지 않을 수 있음"),
    "control_spectrum": ("thirds and spectrum", "삼등분 통계와 스펙트럼"),
    "reads_spectrum": (
        "The summary statistics, the mean of each third of the steps and how fast each feature "
        "changes, by logistic regression.",
        "요약 통계, 앞·가운데·뒤 삼등분의 평균, 특성이 변하는 빠르기, 로지스틱 회귀.",
    ),
    "implies_spectrum": (
        "no more than coarse order may matter here", "여기서는 대략의 순서만 중요할 수 있음",
    ),
    "control_convolutions": ("random convolutions", "무작위 합성곱"),
    "reads_convolutions": (
        "How often and how far 2,000 random kernels respond (ROCKET), by ridge regression.",
        "무작위 커널 2,000개가 얼마나 자주, 얼마나 크게 반응하는지(ROCKET), 릿지 회귀.",
    ),
    "implies_convolutions": (
        "short patterns may matter here, and no memory beyond them",
        "여기서는 짧은 패턴만 중요하고 그보다 긴 기억은 필요 없을 수 있음",
    ),
    "control_step": ("single steps", "스텝 하나씩"),
    "reads_step": (
        "The step itself, without the steps around it, by logistic regression.",
        "주변 없이 그 스텝만, 로지스틱 회귀.",
    ),
    "implies_step": (
        "single steps may suffice for their class here", "여기서는 스텝 하나만으로 클래스를 알 수 있음",
    ),
    "control_surroundings": ("steps and their surroundings", "스텝과 그 주변"),
    "reads_surroundings": (
        "The step and the means of 9, 33 and 129 steps around it, in no order, by logistic "
        "regression.",
        "그 스텝과 주변 9, 33, 129스텝의 평균(순서 없이), 로지스틱 회귀.",
    ),
    "control_bag-of-words": ("bag of words", "단어 주머니"),
    "reads_bag-of-words": (
        "Which tokens and pairs of neighbours occur (tf-idf), by logistic regression.",
        "어떤 토큰과 이웃한 쌍이 나오는지(tf-idf), 로지스틱 회귀.",
    ),
    "implies_bag-of-words": (
        "order beyond neighbours may not matter here",
        "여기서는 이웃을 넘는 순서가 중요하지 않을 수 있음",
    ),
    "control_embeddings": ("mean of embeddings", "임베딩의 평균"),
    "reads_embeddings": (
        "Which tokens occur: the cells' network without its recurrent layer, trained as they are.",
        "어떤 토큰이 나오는지: 순환층을 뺀 같은 신경망을 같은 방식으로 학습.",
    ),
    "control_shuffled": ("{name}, shuffled order", "{name}, 순서를 섞음"),
    "reads_shuffled": (
        "The trained {name} on the same test steps in random order; not retrained.",
        "학습된 {name} 모델에 같은 시험 스텝을 무작위 순서로 입력(다시 학습하지 않음).",
    ),
    # What they say of the best cell
    "control_lead": (
        "difference {difference} points, {confidence} interval {low} to {high}",
        "차이 {difference}%p, {confidence} 신뢰구간 {low} ~ {high}",
    ),
    "control_lead_one_seed": (
        "difference {difference} points, {confidence} interval {low} to {high}, {cell} with one "
        "seed",
        "차이 {difference}%p, {confidence} 신뢰구간 {low} ~ {high}, {cell} 모델은 시드 1개",
    ),
    "not_learned": ("This {name} has not learned the task", "이 {name} 모델은 과제를 배우지 못했습니다"),
    "not_shown_learned": (
        "It is not shown that this {name} has learned the task",
        "이 {name} 모델이 과제를 배웠다는 것이 입증되지 않았습니다",
    ),
    "control_warning": (
        "{claim}: the control '{control}', which does not use order, reaches {value} "
        "against {cell_value} of {cell} ({evidence}).",
        "{claim}. 순서를 쓰지 않는 대조 방법 '{control}'의 정확도가 {value}이고 이 모델({cell})은 {cell_value}입니다({evidence}).",
    ),
    "gain_better": ("Recurrence gains {points} here", "여기서는 순환 구조로 {points}의 이득이 있습니다"),
    "gain_worse": ("Recurrence costs {points} here", "여기서는 순환 구조 때문에 {points}를 잃습니다"),
    "gain_equivalent": ("Recurrence gains nothing here", "여기서는 순환 구조의 이득이 없습니다"),
    "gain_undecided": (
        "It is not shown that recurrence gains anything here",
        "여기서 순환 구조의 이득은 입증되지 않았습니다",
    ),
    "gain": (
        "{claim}: the control '{control}', the same network without it, trained once, reaches "
        "{value} against {cell_value} of {cell} ({evidence}).",
        "{claim}. 순환층을 빼고 한 번 학습한 같은 신경망인 대조 방법 '{control}'의 정확도는 {value}, {cell} 모델은 "
        "{cell_value}입니다({evidence}).",
    ),
    "control_better": (
        "The control '{control}' does better ({value} against {cell_value} of {cell}; {evidence})",
        "대조 방법 '{control}'의 결과가 더 좋습니다({value}, {cell} 모델 {cell_value}; {evidence})",
    ),
    "control_as_good": (
        "The control '{control}' does as well ({value} against {cell_value} of {cell}; {evidence})",
        "대조 방법 '{control}'의 결과가 그에 못지않습니다({value}, {cell} 모델 {cell_value}; {evidence})",
    ),
    "control_undecided": (
        "The control '{control}' cannot be told apart ({value} against {cell_value} of {cell}; "
        "{evidence})",
        "대조 방법 '{control}'과의 우열을 가릴 수 없습니다({value}, {cell} 모델 {cell_value}; {evidence})",
    ),
    "remark": ("{claim}.", "{claim}."),
    "remark_implies": ("{claim}: {implication}.", "{claim}. {implication}."),
    "also_better": ("Also better than {cell}: {names}.", "{cell} 모델보다 나은 다른 방법: {names}."),
    "control_value": ("'{name}' ({value})", "'{name}'({value})"),
    "the_columns": ("columns", "열"),
    "input_reaches": ("'{name}' alone reaches {value}", "'{name}'만으로 {value}"),
    "input_at_chance": ("{reaches}, at chance", "{reaches}(우연 수준)"),
    "inputs": (
        "Inputs: {shown}, all inputs together {accuracy} ({cell}): {claim}.",
        "입력: {shown}, 모든 입력을 함께 쓰면 {accuracy}({cell}). {claim}.",
    ),
    "input_sufficient": ("{names} carries the answer alone", "{names}만으로 답을 알 수 있습니다"),
    "input_undecided": (
        "it is not shown that more than {names} is needed",
        "{names} 외에 다른 입력이 필요하다는 것은 입증되지 않았습니다",
    ),
    "input_none": ("no input alone is enough", "어느 입력도 혼자서는 충분하지 않습니다"),
    "try_this": ("Try this: {remedies}.", "시도해 볼 것: {remedies}."),
    "unadvised_tokens": (
        "more or less regularisation and another width (model.dropout, model.embedding_dropout, "
        "training.distillation, model.hidden_size), or seqbelt tune",
        "규제를 늘리거나 줄이고 너비를 바꾸거나(model.dropout, model.embedding_dropout, "
        "training.distillation, model.hidden_size) seqbelt tune 실행",
    ),
    "unadvised_numbers": (
        "longer training, smaller batches, another stem and other augmentation "
        "(training.num_updates, training.batch_size, model.stem, training.augmentation), or "
        "seqbelt tune",
        "더 오래 학습하거나, 배치를 줄이거나, stem과 증강을 바꾸거나(training.num_updates, training.batch_size, "
        "model.stem, training.augmentation) seqbelt tune 실행",
    ),
}  # fmt: skip

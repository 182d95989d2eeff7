"""The texts of a comparison: metrics, verdicts, tables."""

from collections.abc import Mapping

COMPARISON: Mapping[str, tuple[str, str]] = {
    # Numbers
    "fraction": ("{value:.{digits}f} %", "{value:.{digits}f}%"),
    "from_to": ("{low} to {high}", "{low} ~ {high}"),
    "two_counts": ("{first} and {second}", "{first}개와 {second}개"),
    "in_point": ("{value} point", "{value}%p"),
    "in_points": ("{value} points", "{value}%p"),
    "in_nats": ("{value} nats", "{value}nat"),
    "in_classes": ("{value} classes", "{value}등급"),
    "in_kappa": ("{value} kappa", "카파 {value}"),
    # Metrics and cells
    "metric_accuracy": ("accuracy", "정확도"),
    "metric_macro_f1": ("macro-F1", "매크로 F1"),
    "metric_micro_f1": ("micro-F1", "마이크로 F1"),
    "metric_balanced_accuracy": ("balanced accuracy", "균형 정확도"),
    "metric_log_loss": ("log loss", "로그 손실"),
    "metric_segmental_f1": ("segmental F1@50", "구간 F1@50"),
    "metric_mean_absolute_error": ("mean absolute error", "평균 절대 오차"),
    "metric_quadratic_kappa": ("quadratic kappa", "이차 가중 카파"),
    "metric_mean_average_precision": ("mean average precision", "평균 정밀도(mAP)"),
    "metric_recall": ("recall of '{name}'", "'{name}'의 재현율"),
    "cell_none": ("no recurrence", "순환 없음"),
    # Looks
    "look": ("look {number} of {total}", "판정 {total}회 중 {number}번째"),
    # A verdict
    "with_interval": ("{value} ({interval})", "{value}({interval})"),
    "value_of": ("{cell} ({value})", "{cell}({value})"),
    "claim_better": ("{a} is better than {b}", "{a} 모델이 {b} 모델보다 낫습니다"),
    "claim_worse": ("{a} is worse than {b}", "{a} 모델이 {b} 모델보다 못합니다"),
    "claim_equivalent": (
        "{a} and {b} are equivalent within {margin}",
        "{a} 모델과 {b} 모델은 {margin} 이내로 동등합니다",
    ),
    "claim_undecided": (
        "Undecided between {a} and {b}",
        "{a} 모델과 {b} 모델 가운데 어느 쪽이 나은지 판정할 수 없습니다",
    ),
    "short_equivalent": ("{a} and {b} are equivalent", "{a} 모델과 {b} 모델은 동등합니다"),
    "short_undecided": (
        "undecided between {a} and {b}",
        "{a} 모델과 {b} 모델 가운데 어느 쪽이 나은지 판정할 수 없습니다",
    ),
    "short": ("{claim} ({evidence})", "{claim}({evidence})"),
    "difference_without_interval": ("{difference}, no interval", "차이 {difference}, 구간 없음"),
    "difference_with_interval": ("{difference}, {low} to {high}", "차이 {difference}, 구간 {low} ~ {high}"),
    "claim_by": ("{claim} by {metric}", "{metric} 기준으로 {claim}"),
    "verdict_sentence": ("{claim}: {evidence}.", "{claim}. 근거: {evidence}."),
    "tested_one_seed": ("{seeds} seed, {examples:,} test examples", "시드 {seeds}개, 시험 예시 {examples:,}개"),
    "tested": ("{seeds} seeds, {examples:,} test examples", "시드 {seeds}개, 시험 예시 {examples:,}개"),
    "tested_uneven": (
        "{seeds} seeds, {examples:,} test examples", "시드 {seeds}, 시험 예시 {examples:,}개",
    ),
    "tested_of_group": (
        "{tested} of {count:,} groups not trained on", "{tested}, 학습하지 않은 그룹 {count:,}개",
    ),
    "tested_of_recording": ("{tested} of {count:,} recordings", "{tested}, 녹음 {count:,}개"),
    "tested_of_row": ("{tested} of {count:,} rows", "{tested}, 행 {count:,}개"),
    "evidence_without_interval": (
        "difference {difference}, no interval ({tested})", "차이 {difference}, 구간 없음({tested})",
    ),
    "evidence": (
        "difference {difference}, {confidence} interval {low} to {high} ({p}; {tested})",
        "차이 {difference}, {confidence} 신뢰구간 {low} ~ {high}({p}; {tested})",
    ),
    "holm": ("Holm over {count} pairs", "{count}개 비교에 대한 Holm 보정"),
    "no_new_seeds": (
        "which adds no seeds to those judged before and may claim nothing",
        "이전 판정보다 늘어난 시드가 없어 아무 주장도 하지 않음",
    ),
    "chances": (
        "Probability that {cell} is better by more than {margin} {better}, within it {equivalent}, "
        "worse {worse}.",
        "{cell} 모델이 {margin}보다 더 나을 확률 {better}, 그 이내일 확률 {equivalent}, 더 못할 확률 {worse}.",
    ),
    "advice_one_seed": (
        "One seed cannot tell the cell from its luck; run at least three.",
        "시드가 하나면 모델의 실력과 운을 구별할 수 없습니다. 적어도 세 개로 실행하세요.",
    ),
    "advice_seeds": (
        "About {more} more seeds per cell would decide, if it stays so.",
        "이 상태가 유지된다면 모델마다 시드를 약 {more}개 더하면 판정할 수 있습니다.",
    ),
    "advice_seeds_at": (
        "About {more} more seeds per cell ({total} in all, {look}) would decide, if it stays so.",
        "이 상태가 유지된다면 모델마다 시드를 약 {more}개 더하면(모두 {total}개, {look}) 판정할 수 있습니다.",
    ),
    "advice_examples": (
        "More seeds would not decide; at least {count:,} {units} are needed.",
        "시드를 늘려도 판정할 수 없습니다. {units} {count:,}개 이상이 필요합니다.",
    ),
    "units_group": ("groups that are not trained on", "학습하지 않은 그룹"),
    "units_recording": ("test recordings", "시험 녹음"),
    "units_row": ("test examples", "시험 예시"),
    # A conclusion
    "one_cell": ("One cell: nothing to compare.", "모델이 하나여서 비교할 것이 없습니다."),
    "other_pairs": ("Other pairs: {pairs}.", "다른 비교: {pairs}."),
    "skewed": ("The classes are skewed. {verdict}", "클래스가 고르지 않아 다음도 함께 봅니다. {verdict}"),
    "leak": (
        "Leak, so the test scores are too high: {leaks}.",
        "데이터 누출로 시험 점수가 실제보다 높습니다: {leaks}.",
    ),
    "leak_same": ("have the same content as", "내용이 똑같습니다"),
    "leak_nearly": ("have nearly the same {kind} as", "{kind} 내용이 거의 같습니다"),
    "near_sequence": ("sequence", "시퀀스"),
    "near_input": ("{name} sequence", "{name} 시퀀스"),
    "near_text": ("text", "텍스트"),
    "leak_pairs": (
        "{count:,} of {total:,} {part} rows ({share}) {relation} a {earlier} row",
        "{part} 행 {total:,}개 중 {count:,}개({share})가 {earlier} 행과 {relation}",
    ),
    "leak_groups": (
        "{count} of {total} test groups are in training too",
        "시험 그룹 {total}개 중 {count}개가 학습 데이터에도 있습니다",
    ),
    "the_class": ("the class", "클래스"),
    "leak_column": (
        "column '{name}' alone predicts {what} of {accuracy} of {count:,} rows (cross-validated, "
        "at least {low}; always the most frequent: {majority})",
        "열 '{name}'만으로 {count:,}행 중 {accuracy}에서 {what}를 맞힙니다(교차 검증, 적어도 {low}, 가장 흔한 답만 하면 "
        "{majority})",
    ),
    "leak_column_remedy": (
        "remove it from features.columns unless it is known before the label is",
        "라벨보다 먼저 알 수 있는 값이 아니라면 features.columns에서 빼세요",
    ),
    "leak_channel": (
        "channel '{name}' is the same in all steps of a sequence, and alone predicts {what} of "
        "{accuracy} of {count:,} sequences (cross-validated, at least {low}; always the most "
        "frequent: {majority})",
        "채널 '{name}'은 한 시퀀스 안에서 변하지 않으며, 그것만으로 시퀀스 {count:,}개 중 {accuracy}에서 {what}를 맞힙니다"
        "(교차 검증, 적어도 {low}, 가장 흔한 답만 하면 {majority})",
    ),
    "leak_channel_remedy": (
        "leave it out with features.ignore unless it is known before the label is",
        "라벨보다 먼저 알 수 있는 값이 아니라면 features.ignore로 빼세요",
    ),
    "scope_some_groups": (
        "{share} of the test examples belong to groups without training rows; the other examples "
        "count as independent.",
        "시험 예시의 {share}는 학습 데이터에 없는 그룹에 속하며, 나머지 예시는 서로 독립으로 봅니다.",
    ),
    "scope_one_group": (
        "All test examples belong to one group, '{name}': the verdict holds for that group, not "
        "for new groups; test on several (data.test_groups, data.folds: group).",
        "모든 시험 예시가 한 그룹 '{name}'에 속합니다. 판정은 그 그룹에만 해당하고 새로운 그룹에는 해당하지 않습니다. 여러 "
        "그룹으로 시험하세요(data.test_groups, data.folds: group).",
    ),
    "accuracies_line": ("{accuracies}: test accuracy.", "시험 정확도: {accuracies}."),
    "cell_column": ("cell", "모델"),
    "test_accuracy_column": ("test accuracy", "시험 정확도"),
    "epochs_column": ("epochs", "에포크"),
    "seconds_column": ("seconds", "초"),
    "one_seed": ("one seed", "시드 1개"),
    "intervals_note": (
        "Intervals: {confidence}, over new seeds and new test examples, or groups where those are "
        "held out.",
        "구간: {confidence}, 새로운 시드와 새로운 시험 예시(그룹을 따로 뺀 경우에는 새로운 그룹)에 대한 것입니다.",
    ),
    "pair_column": ("pair", "비교 쌍"),
    "metric_column": ("metric", "지표"),
    "verdict_column": ("verdict", "판정"),
    "difference_column": ("difference", "차이"),
    "chances_column": ("probability: better, equivalent, worse", "확률: 우세, 동등, 열세"),
    "pair": ("{cell} against {other}", "{cell} 대 {other}"),
    "word_better": ("better", "우세"),
    "word_worse": ("worse", "열세"),
    "word_equivalent": ("equivalent", "동등"),
    "word_undecided": ("undecided", "판정 불가"),
    "segments_column": ("segments", "구간 점수"),
    "segment_edit": ("edit", "편집 점수"),
    "control_column": ("control", "대조 방법"),
    "order_column": ("order", "순서"),
    "reads_column": ("reads", "읽는 것"),
    "order_known": ("known", "사용"),
    "order_unknown": ("unknown", "미사용"),
    "not_computed": ("not computed", "계산 못 함"),
    # Protocol, and what could be shown
    "protocol": ("Protocol: {protocol}", "비교 방식: {protocol}"),
    "protocol_before": ("{protocol} Before training: {shown}", "{protocol} 학습 전 예상: {shown}"),
    "first_fold": ("{protocol} Of the first fold.", "{protocol} (첫 번째 폴드 기준)"),
    "protocol_as_given": (
        "settings as given, the same for every cell.", "주어진 설정을 모든 모델에 똑같이 적용합니다.",
    ),
    "protocol_tuned": (
        "equal tuning, {count} trials for each cell, scored on validation rows; best {settings}.",
        "같은 횟수로 조정: 모델마다 {count}회 시도하여 검증 행으로 점수를 매겼습니다. 최선: {settings}.",
    ),
    "protocol_sized": (
        "equal {what}, hidden size solved for each cell: {sizes}.",
        "같은 {what}: 모델마다 은닉 크기를 맞추어 구했습니다: {sizes}.",
    ),
    "protocol_equal_parameters": ("trainable parameters", "학습 매개변수 수"),
    "protocol_equal_compute": ("operations per step", "스텝당 연산 수"),
    "size_of": ("{cell} {size:,} ({units} units)", "{cell} {size:,}(은닉 {units}개)"),
    "rows_of": ("{count:,} test examples", "시험 예시 {count:,}개"),
    "row_of": ("{count:,} test example", "시험 예시 {count:,}개"),
    "rows_of_groups": ("{rows} of {count:,} groups", "그룹 {count:,}개의 {rows}"),
    "rows_of_one_group": ("{rows} of {count:,} group", "그룹 {count:,}개의 {rows}"),
    "shows_nothing_new": (
        "{rows} can show no difference for new groups; test on several (data.test_groups, "
        "data.folds: group).",
        "{rows}로는 새로운 그룹에 대한 차이를 보일 수 없습니다. 여러 그룹으로 시험하세요(data.test_groups, "
        "data.folds: group).",
    ),
    "shows_nothing": (
        "One seed x {rows} can show no difference; run at least three (seeds).",
        "시드 1개 x {rows}로는 차이를 보일 수 없습니다. 시드를 세 개 이상으로 실행하세요(seeds).",
    ),
    "shows": (
        "{seeds} seeds x {rows} can show {what} (power {power}, {look}), {aim}; assumed: "
        "{assumed}.",
        "시드 {seeds}개 x {rows}로는 {what} 보일 수 있습니다(검정력 {power}, {look}). {aim}. 가정: {assumed}.",
    ),
    "shows_points": ("a difference of {value} points", "{value}%p 차이를"),
    "shows_none": (
        "{seeds} seeds x {rows} can show no difference, however large (power {power}, {look}); "
        "{remedy}; assumed: {assumed}.",
        "시드 {seeds}개 x {rows}로는 아무리 큰 차이도 보일 수 없습니다(검정력 {power}, {look}). {remedy}. 가정: "
        "{assumed}.",
    ),
    "more_groups": (
        "data.folds: group tests on every group in turn",
        "data.folds: group을 쓰면 모든 그룹으로 차례로 시험합니다",
    ),
    "more_rows": ("take more test examples", "시험 예시를 늘리세요"),
    "aim_not": ("not {margin} (margin)", "기준인 {margin}%p 차이는 보일 수 없습니다"),
    "aim_so": ("and so {margin} (margin)", "따라서 기준인 {margin}%p 차이도 보일 수 있습니다"),
    "assumed": (
        "cells disagree on {share} of them, seeds vary by {spread} point",
        "모델들이 그중 {share}에서 서로 다르게 답하고, 시드에 따라 {spread}%p 달라짐",
    ),
    "assumed_groups": (
        "{assumed}, answers within a group correlate by {correlation}",
        "{assumed}, 한 그룹 안의 답은 {correlation}만큼 상관됨",
    ),
    # Choice and registration
    "registered": ("Registered: `{uri}`, {name}: {choice}.", "등록한 모델: `{uri}`, {name}: {choice}."),
    "ensemble_of": ("the ensemble of {cell}", "{cell} 앙상블"),
    "chosen_validation": ("the best by validation", "검증 점수가 가장 좋음"),
    "chosen_without": (
        "without validation rows, the first model of the cell with {over}, which makes that mean a "
        "little optimistic",
        "검증 행이 없어 {over} 종류의 첫 번째 모델(시험 행으로 골랐으므로 그 평균은 다소 낙관적)",
    ),
    "chosen_folds": (
        "the cell with {over}, refitted on the rows of all folds",
        "{over} 종류를 모든 폴드의 행으로 다시 학습함",
    ),
    "chosen_folds_without": (
        "the cell with {over}, which makes that mean a little optimistic, refitted on the rows of "
        "all folds",
        "{over} 종류를 모든 폴드의 행으로 다시 학습함(시험 행으로 골랐으므로 그 평균은 다소 낙관적)",
    ),
    "over_seeds": (
        "the best mean {part} {score} over all seeds",
        "{part} {score}의 모든 시드 평균이 가장 좋은",
    ),
    "over_seeds_and_folds": (
        "the best mean {part} {score} over all seeds and folds",
        "{part} {score}의 모든 시드와 폴드 평균이 가장 좋은",
    ),
    "average_of": (
        "The average of {number} {cell} networks (seeds {seeds}): test accuracy {average}, mean of "
        "its members {members}; a prediction computes {number} networks and takes about {number} "
        "times as long as one.",
        "{cell} 신경망 {number}개(시드 {seeds})의 평균: 시험 정확도 {average}, 구성 신경망의 평균 {members}. 예측 "
        "한 번에 신경망 {number}개를 계산하므로 시간이 약 {number}배 걸립니다.",
    ),
}  # fmt: skip

"""The words of all reports, and the texts of the report of a comparison."""

from collections.abc import Mapping

REPORT: Mapping[str, tuple[str, str]] = {
    # Words of all reports
    "percent": ("{value:.1f} %", "{value:.1f}%"),
    "interval": ("95 % interval {low} to {high}", "95% 신뢰구간 {low} ~ {high}"),
    "made": ("Made on {date}.", "{date}에 작성했습니다."),
    "class": ("class", "클래스"),
    "count": ("count", "개수"),
    "share": ("share", "비율"),
    "total": ("total", "합계"),
    "items_audio": ("recordings", "녹음"),
    "items_text": ("texts", "텍스트"),
    "items_video": ("clips", "영상"),
    "items_channels": ("sequences", "시퀀스"),
    "items_inputs": ("items", "항목"),
    "items_steps": ("labelled steps", "라벨이 붙은 스텝"),
    "seconds": ("{low:.3g} to {high:.3g} s, median {median:.3g} s",
                "{low:.3g} ~ {high:.3g}초, 중앙값 {median:.3g}초"),
    "steps": ("{low:,} to {high:,} steps, median {median:,}",
              "{low:,} ~ {high:,}스텝, 중앙값 {median:,}"),
    "true": ("labelled", "정답"),
    "predicted": ("predicted", "예측"),
    "confidence": ("confidence", "확신도"),
    "none": ("none", "없음"),
    "more": ("and {count:,} more", "외 {count:,}개"),
    "not_available": ("The file is not available any more.", "원본 파일을 찾을 수 없습니다."),
    "missing_input": ("Missing in this row.", "이 행에는 없습니다."),
    "drawn_all": ("{total} features over time", "특성 {total}개, 시간순"),
    "drawn": ("first {shown} of {total} features over time", "특성 {total}개 중 앞의 {shown}개, 시간순"),
    "part_of": ("the first {seconds:g} s", "앞부분 {seconds:g}초"),
    # Report of a comparison
    "comparison_title": ("{name}: which model, and how good", "{name}: 어떤 모델이 얼마나 정확한가"),
    "summary": ("In short", "요약"),
    "good": (
        "The chosen model is {model}. Of 100 new {items} it is expected to label about {rate:.0f} "
        "as the data does ({interval}; measured on {count:,} {items} that it was not trained on).",
        "선택된 모델은 {model}입니다. 새로운 {items} 100개 가운데 약 {rate:.0f}개에 올바른 라벨을 붙일 것으로 "
        "예상됩니다({interval}, 학습에 쓰지 않은 {items} {count:,}개로 측정).",
    ),
    "by_units": (
        "The interval allows for the {count:,} groups (speakers, subjects, sources) that the "
        "test {items} come from.",
        "이 구간은 시험용 {items}의 출처인 그룹(화자, 피험자, 원본) {count:,}개를 고려해 계산했습니다.",
    ),
    "one_group": (
        "Only one group (speaker, subject, source) of the test {items}, '{name}', has no training "
        "data: how it does on other new groups was not measured.",
        "시험용 {items}의 그룹(화자, 피험자, 원본) 가운데 학습 데이터에 없는 것은 '{name}' 하나뿐입니다. 다른 새로운 "
        "그룹에 대해서는 측정하지 않았습니다.",
    ),
    "majority": (
        "Always naming the most frequent class, '{name}', would be right in {share}.",
        "가장 흔한 클래스 '{name}'만 항상 답해도 {share}는 맞습니다.",
    ),
    "several": (
        "The {items} have several labels each: right here means that all of them are right and "
        "none is missing.",
        "각 {items}에는 라벨이 여러 개 있습니다. 여기서 정답은 모든 라벨이 빠짐없이 맞은 경우입니다.",
    ),
    "verdict_better": (
        "{cell} is more accurate than {other}: by {difference} points ({low} to {high}).",
        "{cell} 모델이 {other} 모델보다 {difference}%p 더 정확합니다(구간 {low} ~ {high}).",
    ),
    "verdict_worse": (
        "{cell} is less accurate than {other}: by {difference} points ({low} to {high}).",
        "{cell} 모델이 {other} 모델보다 {difference}%p 덜 정확합니다(구간 {low} ~ {high}).",
    ),
    "verdict_equivalent": (
        "{cell} and {other} are equally good: they differ by less than {margin} points.",
        "{cell} 모델과 {other} 모델은 사실상 동등합니다. 차이가 {margin}%p보다 작습니다.",
    ),
    "verdict_undecided": (
        "Whether {cell} or {other} is better cannot be told from this data: the difference is "
        "{difference} points ({low} to {high}).",
        "{cell} 모델과 {other} 모델 중 어느 쪽이 나은지는 이 데이터로 알 수 없습니다. 차이는 {difference}%p"
        "(구간 {low} ~ {high})입니다.",
    ),
    "control_wins": (
        "A simpler method without recurrence, '{name}', reaches {accuracy} on the same test "
        "{items}, the chosen model {chosen_accuracy}.",
        "순환 구조가 없는 더 단순한 방법 '{name}'의 정확도가 같은 시험용 {items}에서 {accuracy}이고, 선택된 모델은 "
        "{chosen_accuracy}입니다.",
    ),
    "tile_accuracy": ("accuracy", "정확도"),
    "tile_classes": ("classes", "클래스"),
    "tile_train": ("training {items}", "학습용 {items}"),
    "tile_weakest": ("lowest recall: '{name}'", "재현율 최저: '{name}'"),
    "data": ("The data", "데이터"),
    "data_name": ("Name", "이름"),
    "data_source": ("Source", "출처"),
    "data_date": ("Prepared on", "준비한 날"),
    "data_counts": ("Counts", "개수"),
    "data_counts_value": (
        "{train:,} to train, {validation:,} to choose (validation), {test:,} to test",
        "학습 {train:,}개, 선택(검증) {validation:,}개, 시험 {test:,}개",
    ),
    "data_lengths": ("Lengths", "길이"),
    "data_groups": ("Groups", "그룹"),
    "data_folds": (
        "cross-validation: in each of {count} folds another part is the test",
        "교차 검증: {count}개 폴드에서 차례로 다른 부분을 시험에 사용",
    ),
    "train": ("training", "학습"),
    "validation": ("validation", "검증"),
    "test": ("test", "시험"),
    "quarantine_none": ("All {items} could be read.", "{items} 전부를 읽을 수 있었습니다."),
    "quarantine": (
        "{count:,} of {total:,} {items} could not be used: {reasons}. "
        "The list is quarantine.csv, beside the prepared data.",
        "{items} {total:,}개 중 {count:,}개는 사용할 수 없어 제외했습니다: {reasons}. "
        "목록은 준비된 데이터 옆의 quarantine.csv에 있습니다.",
    ),
    "audit": ("What the audit found", "데이터 점검 결과"),
    "audit_ok": ("The audit found nothing that makes the results misleading.",
                 "결과를 왜곡할 만한 문제는 발견되지 않았습니다."),
    "audit_duplicates": (
        "{count:,} {items} are both in the test and in the training data: the accuracy is too "
        "good for them.",
        "{items} {count:,}개가 시험 데이터와 학습 데이터에 똑같이 들어 있어, 그만큼 정확도가 실제보다 높게 나옵니다.",
    ),
    "audit_near-duplicates": (
        "{count:,} {items} in the test are almost the same as ones in the training data.",
        "시험용 {items} {count:,}개가 학습 데이터의 것과 거의 같습니다.",
    ),
    "audit_constant": ("{count:,} {items} have a constant signal: nothing is in them.",
                       "{items} {count:,}개는 신호가 일정하여 내용이 없습니다."),
    "audit_groups": (
        "{count:,} groups are in the training data and in the test: for new groups (speakers, "
        "subjects) the accuracy may be lower.",
        "그룹 {count:,}개가 학습 데이터와 시험 데이터 양쪽에 있습니다. 새로운 그룹(화자, 피험자)에서는 정확도가 더 "
        "낮을 수 있습니다.",
    ),
    "audit_labels": (
        "{count:,} contents have two different labels: one of them is wrong.",
        "같은 내용 {count:,}개에 서로 다른 라벨이 붙어 있습니다. 둘 중 하나는 틀린 라벨입니다.",
    ),
    "audit_classes": ("{count:,} classes are missing in a part of the data.",
                      "클래스 {count:,}개가 데이터의 일부 구역에 없습니다."),
    "audit_balance": (
        "{count:,} classes have far fewer examples than the largest: look at their recall.",
        "클래스 {count:,}개는 가장 큰 클래스보다 예시가 훨씬 적습니다. 재현율을 함께 보세요.",
    ),
    "audit_lengths": (
        "The length alone tells the classes better than chance: make sure that it will do so in "
        "use as well.",
        "길이만으로도 클래스를 우연보다 잘 구별할 수 있습니다. 실제 사용에서도 그러한지 확인하세요.",
    ),
    "audit_columns": (
        "{count:,} columns of the table predict the label by themselves: the accuracy is too good "
        "unless they are known before the label is.",
        "표의 열 {count:,}개가 그 자체로 라벨을 예측합니다. 라벨보다 먼저 알 수 있는 값이 아니라면 정확도가 실제보다 "
        "높게 나옵니다.",
    ),
    "audit_channels": (
        "{count:,} channels that do not change within a sequence predict the label by themselves: "
        "the accuracy is too good unless they are known before the label is.",
        "시퀀스 안에서 변하지 않는 채널 {count:,}개가 그 자체로 라벨을 예측합니다. 라벨보다 먼저 알 수 있는 값이 아니라면 "
        "정확도가 실제보다 높게 나옵니다.",
    ),
    "audit_label rates": (
        "{count:,} labels are missing in a part of the data.",
        "라벨 {count:,}개가 데이터의 일부 구역에 없습니다.",
    ),
    "audit_steps": ("{count:,} classes have far fewer labelled steps than the largest.",
                    "클래스 {count:,}개는 라벨이 붙은 스텝이 가장 큰 클래스보다 훨씬 적습니다."),
    "audit_short": ("{count:,} {items} are much shorter than the others.",
                    "{items} {count:,}개는 나머지보다 훨씬 짧습니다."),
    "audit_quarantined": ("Left out because they could not be used: {count:,}.",
                          "사용할 수 없어 제외한 것: {count:,}개."),
    "audit_wrong-labels": (
        "{count:,} labels are probably wrong: look at them with 'seqbelt review'.",
        "라벨 {count:,}개가 틀렸을 가능성이 높습니다. 'seqbelt review'로 확인하세요.",
    ),
    "audit_other": ("{check}: {count:,} (see the statistics).", "{check}: {count:,}건(통계 참조)."),
    "choice": ("Which model, and why", "모델 선택과 이유"),
    "reason_validation": (
        "{model} was chosen because it was the best of {count:,} trained models on the validation "
        "{items} ({score}). The test {items} had no part in the choice.",
        "{model} 모델을 선택한 이유는 학습된 모델 {count:,}개 가운데 검증용 {items}에서 가장 좋았기 때문입니다"
        "(기준: {score}). 시험용 {items} 데이터는 선택에 쓰이지 않았습니다.",
    ),
    "reason_mean_validation": (
        "{model} was chosen because its mean over all seeds and folds on the validation {items} is "
        "the best ({score}). One model of it was then trained on all rows.",
        "{model} 모델을 선택한 이유는 모든 시드와 폴드에 걸친 검증용 {items}의 평균이 가장 좋았기 때문입니다"
        "(기준: {score}). 그다음 모든 행으로 모델 하나를 다시 학습했습니다.",
    ),
    "reason_mean_test": (
        "{model} was chosen because its mean on the test {items} is the best ({score}); there were "
        "too few rows for a validation part. That makes its score a little optimistic.",
        "{model} 모델을 선택한 이유는 시험용 {items}의 평균이 가장 좋았기 때문입니다(기준: {score}). 행이 적어 검증 "
        "부분을 따로 두지 못했으므로 점수가 다소 낙관적입니다.",
    ),
    "ensemble": (
        "The registered model is the average of {count} networks of this kind.",
        "등록된 모델은 이 종류의 신경망 {count}개의 평균입니다.",
    ),
    "compared": ("Compared models", "비교한 모델"),
    "model": ("model", "모델"),
    "mean_accuracy": ("mean test accuracy", "평균 시험 정확도"),
    "interval_column": ("interval", "구간"),
    "parameters": ("parameters", "매개변수"),
    "train_s": ("seconds to train", "학습 시간(초)"),
    "controls": (
        "Simpler methods, and the models on shuffled steps, on the same test {items}:",
        "같은 시험용 {items}에 대한 더 단순한 방법들과, 스텝의 순서를 섞어 읽은 모델들:",
    ),
    "errors": ("Where it is wrong", "어디에서 틀리는가"),
    "confusion": (
        "Each row is one true class; the cells tell, in per cent of the row, what the model "
        "named it, and below how many.",
        "각 행은 실제 클래스이며, 칸은 모델이 무엇이라고 답했는지를 행에 대한 비율(%)로, 그 아래에 개수로 보여 줍니다.",
    ),
    "confusion_large": (
        "With {count} classes the table would not be legible; these are the most frequent "
        "confusions.",
        "클래스가 {count}개라 표로는 읽기 어려우므로 가장 잦은 혼동을 나열합니다.",
    ),
    "confused": (
        "'{true}' is taken for '{predicted}' in {share} of its {count:,} {items}.",
        "'{true}' {items} {count:,}개 중 {share}가 '{predicted}'(으)로 잘못 분류됩니다.",
    ),
    "no_errors": ("There is no error among the test {items}.", "시험용 {items}에는 오류가 없습니다."),
    "recall": ("Recall of each class", "클래스별 재현율"),
    "recall_about": (
        "Of 100 {items} of the class, how many are found; the bar is the 95 % interval, and it is "
        "wide where the test has few.",
        "그 클래스의 {items} 100개 중 몇 개를 찾아내는지입니다. 막대는 95% 신뢰구간이며, 시험 예시가 적으면 넓어집니다.",
    ),
    "recall_column": ("recall", "재현율"),
    "precision_column": ("precision", "정밀도"),
    "test_count": ("in test", "시험 개수"),
    "worst": ("The worst errors", "가장 큰 오류"),
    "worst_about": (
        "Wrong predictions with the highest confidence: either the model's faults or wrong "
        "labels. Listen or look.",
        "확신도가 가장 높은데 틀린 예측입니다. 모델의 잘못이거나 라벨이 틀린 경우이니 직접 확인해 보세요.",
    ),
    "limits": ("What it cannot do", "할 수 없는 것"),
    "limit_closed": (
        "It always names one of its {count} classes, also for something else entirely.",
        "전혀 다른 것이 들어와도 항상 {count}개 클래스 중 하나로 답합니다.",
    ),
    "limit_reject": (
        "'predict --coverage 0.9' rejects what is uncertain.",
        "'predict --coverage 0.9'를 쓰면 불확실한 것은 거절합니다.",
    ),
    "limit_never": ("It never named these classes in the test: {names}.",
                    "시험에서 다음 클래스는 한 번도 예측하지 않았습니다: {names}."),
    "limit_untested": ("These classes were not tested: {names}.", "다음 클래스는 시험되지 않았습니다: {names}."),
    "limit_few": (
        "These classes have fewer than {least} training {items}: {names}.",
        "다음 클래스는 학습용 {items} 수가 {least}개보다 적습니다: {names}.",
    ),
    "limit_weak": (
        "It may miss more than half of these classes (the interval of the recall begins below "
        "50 %): {names}.",
        "다음 클래스는 절반 넘게 놓칠 수 있습니다(재현율 구간의 하한이 50% 미만): {names}.",
    ),
    "limit_lengths": (
        "It was trained on {items} of {lengths}; how it does on shorter or longer ones was not "
        "measured.",
        "길이 {lengths}의 {items} 데이터로 학습했습니다. 더 짧거나 긴 것에 대해서는 측정하지 않았습니다.",
    ),
    "limit_crop": (
        "It reads at most {steps:,} steps ({crop}) of each; the rest has no effect.",
        "각 항목에서 최대 {steps:,}스텝만 읽으며({crop}), 나머지는 결과에 영향을 주지 않습니다.",
    ),
    "limit_groups": (
        "All groups of the test are in training too: how it does on new speakers, subjects or "
        "devices was not measured.",
        "시험 데이터의 모든 그룹이 학습에도 있습니다. 새로운 화자, 피험자, 기기에 대해서는 측정하지 않았습니다.",
    ),
    "limit_control": (
        "It is not shown to be better than simpler methods: {names}.",
        "더 단순한 방법보다 낫다는 것이 입증되지 않았습니다: {names}.",
    ),
    "limit_world": (
        "All of this holds for data like the test data. Other microphones, languages, topics or "
        "devices: 'predict --report' tells when the inputs no longer look like the training data.",
        "이 모든 결과는 시험 데이터와 비슷한 데이터에만 해당합니다. 마이크, 언어, 주제, 기기가 바뀌어 입력이 학습 데이터와 "
        "달라지면 'predict --report'가 알려 줍니다.",
    ),
    "use": ("How to use it", "사용 방법"),
    "use_predict": ("Label a folder or a table, and see a report of it:",
                    "폴더나 표에 라벨을 붙이고 보고서 보기:"),
    "use_sure": ("Label only what is certain:", "확실한 것에만 라벨 붙이기:"),
    "use_explain": ("See what decided a prediction:", "예측의 근거 보기:"),
    "use_python": ("In Python:", "Python에서:"),
    "not_registered": (
        "The model could not be registered yet; run the comparison again later.",
        "모델을 아직 등록하지 못했습니다. 나중에 비교를 다시 실행하세요.",
    ),
    "statistics": ("The statistics", "통계"),
    "figure_comparison": ("Test accuracy of each model and method, with its interval",
                          "모델과 방법별 시험 정확도와 구간"),
    "figure_reasons": ("Reach of the gradient and memory", "기울기의 도달 거리와 기억"),
    "figure_learning_curves": ("Learning curves", "학습 곡선"),
}  # fmt: skip

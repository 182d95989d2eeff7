"""The texts of the page of a review."""

from collections.abc import Mapping

REVIEW: Mapping[str, tuple[str, str]] = {
    "review_title": ("Review {name}", "{name} 검토"),
    "review_filters": ("Filters", "필터"),
    "review_show": ("Show", "보기"),
    "review_all_by_doubt": ("all, by doubt", "전체, 의심스러운 순"),
    "review_contradicted": ("contradicted", "어긋남"),
    "review_unsure": ("least sure", "확신 낮음"),
    "review_random": ("random", "무작위"),
    "review_contradicted_labels": ("contradicted labels", "예측과 어긋나는 라벨"),
    "review_random_sample": ("random sample", "무작위 표본"),
    "review_state": ("State", "상태"),
    "review_open": ("to review", "검토할 것"),
    "review_reviewed": ("reviewed", "검토함"),
    "review_both": ("both", "모두"),
    "review_class": ("Class", "클래스"),
    "review_folder": ("Folder", "폴더"),
    "review_all": ("all", "전체"),
    "review_no_folder": ("(none)", "(없음)"),
    "review_other_class": ("Another class:", "다른 클래스:"),
    "review_type_name": ("name, Enter", "이름을 쓰고 Enter"),
    "review_back": ("back", "이전"),
    "review_skip": ("skip", "다음"),
    "review_undo": ("undo", "되돌리기"),
    "review_choose": ("choose a class", "클래스 고르기"),
    "review_switch": ("switch a label on or off", "라벨 켜고 끄기"),
    "review_or": ("or", "또는"),
    "review_space": ("space", "스페이스"),
    "review_keep": ("keep", "그대로 두기"),
    "review_save": ("save", "저장"),
    "review_move": ("move", "이동"),
    "review_play": ("play", "재생"),
    "review_type": ("type a class", "클래스 이름 쓰기"),
    "review_items": ("Items", "항목"),
    "review_more": ("more", "더 보기"),
    "review_keep_label": ("keep {label}", "{label} 그대로 두기"),
    "review_accept_label": ("accept {label}", "{label} 받아들이기"),
    "review_save_label": ("save {label}", "{label} 저장"),
    "review_none_of_them": ("none of them", "해당 없음"),
    "review_no_path": ("row without a path", "경로가 없는 행"),
    "review_no_label": ("no label", "라벨 없음"),
    "review_label": ("label", "라벨"),
    "review_not_given": ("not given", "없음"),
    "review_prediction": ("prediction", "예측"),
    "review_no_prediction": ("no held-out prediction", "학습에서 뺀 예측이 없음"),
    "review_decided": ("decided", "결정"),
    "review_missing": ("missing in this row", "이 행에는 없음"),
    "review_spectrogram": ("spectrogram", "스펙트로그램"),
    "review_frames": ("frames", "프레임"),
    "review_channels": ("channels", "채널"),
    "review_count": ("{place} of {total} items", "{total}개 중 {place}번째"),
    "review_no_items": ("no items", "항목 없음"),
    "review_progress": (
        "{done} of {all} reviewed, {changed} labels changed or given.",
        "{all}개 중 {done}개 검토, 바꾸거나 새로 붙인 라벨 {changed}개.",
    ),
    "review_rate": (
        "Random sample: {wrong} of {count} wrong, {share} ({low} to {high}).",
        "무작위 표본: {count}개 중 {wrong}개 틀림, {share}({low} ~ {high}).",
    ),
    "review_saved_in": ("Saved in {path}", "저장 위치: {path}"),
    "review_ended": (
        "the server does not answer: 'seqbelt review' has ended",
        "서버가 응답하지 않습니다. 'seqbelt review'가 끝났습니다",
    ),
    "review_no_class": ("'{name}' is no class", "'{name}'(이)라는 클래스는 없습니다"),
    # Remarks
    "review_not_compared": (
        "No comparison has predicted these items: they come in random order. Run 'seqbelt compare' "
        "(with data.folds: 5 it predicts all of them) to begin with the doubtful ones.",
        "이 항목들을 예측한 비교가 없어 무작위 순서로 보여 줍니다. 의심스러운 것부터 보려면 'seqbelt compare'를 실행하세요"
        "(data.folds: 5를 쓰면 모두 예측합니다).",
    ),
    "review_left_out": (
        "{count:,} rows without a prediction are left out", "예측이 없는 {count:,}행은 제외했습니다",
    ),
    "review_label_columns": (
        "labels are those of the columns {names} of the table; a row without 0 or 1 in each has none",
        "라벨은 표의 열 {names}에서 읽었습니다. 0이나 1이 아닌 칸이 있는 행에는 라벨이 없습니다",
    ),
    "review_stale": (
        "{path}: {count:,} earlier decisions do not count: their item, its content or its label "
        "has changed: {names}",
        "{path}: 이전 결정 {count:,}개는 항목, 내용 또는 라벨이 바뀌어 반영하지 않습니다: {names}",
    ),
    "review_changed": (
        "its content has changed; run 'seqbelt prepare' or 'predict' again",
        "내용이 바뀌었습니다. 'seqbelt prepare'나 'predict'를 다시 실행하세요",
    ),
    "wrong_labels": (
        "{wrong:,} of {total:,} {what} are likely wrong and {doubtful:,} doubtful, by held-out "
        "predictions ({source})",
        "{what} {total:,}개 중 {wrong:,}개가 틀렸을 가능성이 높고 {doubtful:,}개가 의심스럽습니다(학습에서 뺀 예측: {source})",
    ),
    "wrong_labels_one": ("labels", "라벨"),
    "wrong_labels_several": ("sets of labels", "라벨 묶음"),
    "wrong_labels_source": ("{cell}, {count} seeds", "{cell}, 시드 {count}개"),
    "wrong_labels_source_one": ("{cell}, {count} seed", "{cell}, 시드 {count}개"),
    "wrong_labels_not_scored": (
        "{rows} have no score, since all models were trained on them; {remedy}",
        "{rows}은 모든 모델이 학습에 써서 점수가 없습니다. {remedy}",
    ),
    "count_rows": ("{count:,} rows", "{count:,}행"),
    "count_row": ("{count:,} row", "{count:,}행"),
    "remedy_compare_again": ("run 'seqbelt compare' again", "'seqbelt compare'를 다시 실행하세요"),
    "remedy_folds": (
        "with data.folds: 5 every row has one", "data.folds: 5를 쓰면 모든 행에 점수가 생깁니다",
    ),
}  # fmt: skip

"""A bag of words: a logistic regression on tf-idf of a text's tokens and pairs of tokens."""

from seqbelt.data.sequences import Sequences

INVERSE_PENALTY = 4.0
"""Of the logistic regression: tf-idf rows have length 1, which scikit-learn's 1 holds back too
hard (chosen on the validation rows of two review corpora, of 7,000 and 140,000 texts)."""


def bag_of_words(class_weight: str | None = None):
    """An untrained classifier of ``documents``; ``class_weight`` as scikit-learn's. Its ``fit``
    raises ValueError where no token occurs in two of them."""
    # scikit-learn takes a second to import, and every command imports this module.
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # Tokens are words of digits here: scikit-learn counts n-grams of words.
    vectorizer = TfidfVectorizer(token_pattern=r"\d+", ngram_range=(1, 2), min_df=2)
    return make_pipeline(
        vectorizer,
        LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, class_weight=class_weight),
    )


def documents(sequences: Sequences) -> list[str]:
    """The token ids of each sequence as text."""
    return [" ".join(map(str, sequences[row].tolist())) for row in range(len(sequences))]

"""The fixed parts of the C files that ``c_source`` writes; ``REAL`` is the type of sums."""

HEADER = """\
/* {comment}

   One sequence after the other, as it arrives:

       {name}_state state;
       float probabilities[{upper}_NUM_CLASSES];
       {name}_init(&state);
       {name}_step(&state, inputs, count);      (as often as inputs come, any count)
       int label = {name}_finish(&state, probabilities);

   Nothing is allocated and nothing is kept outside the state. */
#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* The type of sums over steps, spectra and logarithms. Define it as float where double is slow:
   probabilities then differ from the model's by more than rounding. */
#ifndef {upper}_REAL
#define {upper}_REAL double
#endif

#define {upper}_NUM_CLASSES {num_classes}
#define {upper}_INPUT_WIDTH {width} /* values of one input */
{extra}
typedef struct {{
{fields}
}} {name}_state;

/* Names of the classes, UTF-8. */
extern const char *const {name}_classes[{upper}_NUM_CLASSES];

/* Begin a sequence. */
void {name}_init({name}_state *state);

/* Read the next inputs: {about}. */
void {name}_step({name}_state *state, {inputs}, size_t count);

/* Classify what was read so far: probabilities and the number of the likeliest class, or -1
   before the first step. More inputs may follow. */
int {name}_probabilities({name}_state *state, float *probabilities);

/* The same at the end of the sequence; {name}_init begins the next one. */
int {name}_finish({name}_state *state, float *probabilities);

/* The logits of what was read so far; nothing is written before the first step. */
void {name}_logits({name}_state *state, float *logits);

#ifdef __cplusplus
}}
#endif

#endif
"""

READ_TOKENS = """\
void {name}_step({name}_state *state, const int32_t *tokens, size_t count)
{{
    for (size_t i = 0; i < count; i++) {{
        /* What the vocabulary lacks is the unknown token. */
        read_step(state, tokens[i] < 0 || tokens[i] >= {num_tokens} ? {unknown} : tokens[i]);
    }}
}}"""

READ_ROWS = """\
void {name}_step({name}_state *state, const float *rows, size_t count)
{{
    for (size_t i = 0; i < count; i++) {{
        read_step(state, rows + i * {width});
    }}
}}"""

READ_ROWS_WITH_DIFFERENCES = """\
void {name}_step({name}_state *state, const float *rows, size_t count)
{{
    for (size_t row = 0; row < count; row++, rows += {width}) {{
        for (size_t i = 0; i < {width}; i++) {{
            state->row[i] = rows[i];
            state->row[{width} + i] = state->num_steps ? rows[i] - state->last_row[i] : 0;
            state->last_row[i] = rows[i];
        }}
        read_step(state, state->row);
    }}
}}"""

AUDIO = """\
static void read_frame({name}_state *state)
{{
    const size_t oldest = (size_t)(state->num_samples % {window});
{frame}
    read_step(state, state->step);
    state->num_frames++;
}}

static void read_sample({name}_state *state, float sample)
{{
    state->samples[state->num_samples % {window}] = sample;
    state->num_samples++;
    if (state->num_samples == state->next_end) {{
        read_frame(state);
        state->next_end += {hop};
    }}
}}

void {name}_step({name}_state *state, const float *samples, size_t count)
{{
    for (size_t i = 0; i < count; i++) {{
        read_sample(state, samples[i]);
    }}
}}"""

AUDIO_FLUSH = """\
    /* Zeros follow the last sample, as in files. */
    if (state->num_samples) {{
        const int64_t num_frames = state->num_samples / {hop} + 1;
        while (state->num_frames < num_frames) {{
            read_sample(state, 0);
        }}
    }}
"""

WAVEFORM_FRAME = """\
    for (size_t i = 0; i < {window}; i++) {{
        state->step[i] = state->samples[(oldest + i) % {window}];
    }}
"""

LOG_MEL_FRAME = """\
    for (size_t i = 0; i < {size}; i++) {{
        state->real_part[i] = i < {window}
            ? ({real})window[i] * state->samples[(oldest + i) % {window}] : 0;
        state->imaginary_part[i] = 0;
    }}
    transform(state->real_part, state->imaginary_part, {size});
    const float *weights = band_weights;
    for (size_t band = 0; band < {bands}; band++) {{
        {real} energy = 0;
        for (int i = 0; i < band_widths[band]; i++) {{
            const int bin = band_firsts[band] + i;
            energy += *weights++ * (state->real_part[bin] * state->real_part[bin]
                + state->imaginary_part[bin] * state->imaginary_part[bin]);
        }}
        state->{target}[band] = (float)(10 * log10(energy > {floor} ? energy : {floor}));
    }}
"""

MFCC_FRAME = """\
    for (size_t i = 0; i < {num_coefficients}; i++) {{
        {real} sum = 0;
        for (size_t band = 0; band < {bands}; band++) {{
            sum += ({real})dct[i * {bands} + band] * state->bands[band];
        }}
        state->step[i] = (float)sum;
    }}
"""

AVERAGE_BEGIN = """\
    memset(logits, 0, {num_classes} * sizeof(float));
"""

AVERAGE_ONE = """\
    network_{number}_logits(state, {member});
    softmax({member}, {num_classes}, 1);
    for (size_t i = 0; i < {num_classes}; i++) {{
        logits[i] += {member}[i] / {num_networks};
    }}
"""

AVERAGE_END = """\
    for (size_t i = 0; i < {num_classes}; i++) {{
        logits[i] = log(logits[i]);
    }}"""

ANSWERS = """\
void {name}_init({name}_state *state)
{{
    memset(state, 0, sizeof *state);
{start}}}

void {name}_logits({name}_state *state, float *logits)
{{
    if (state->num_steps == 0) {{
        return;
    }}
{logits}
}}

int {name}_probabilities({name}_state *state, float *probabilities)
{{
    int best = 0;
    if (state->num_steps == 0) {{
        return -1;
    }}
    {name}_logits(state, probabilities);
    for (int i = 1; i < {num_classes}; i++) {{
        best = probabilities[i] > probabilities[best] ? i : best;
    }}
    softmax(probabilities, {num_classes}, {temperature});
    return best;
}}

int {name}_finish({name}_state *state, float *probabilities)
{{
{flush}    return {name}_probabilities(state, probabilities);
}}"""

_MULTIPLY = """\
/* y = weights x + bias; four sums side by side, for speed and less rounding. */
static void multiply(const {kind} *weights, {scales}const float *bias, const float *x,
                     size_t num_rows, size_t num_columns, float *y)
{{
    for (size_t row = 0; row < num_rows; row++, weights += num_columns) {{
        float sums[4] = {{0, 0, 0, 0}};
        size_t i = 0;
        for (; i + 4 <= num_columns; i += 4) {{
            sums[0] += weights[i] * x[i];
            sums[1] += weights[i + 1] * x[i + 1];
            sums[2] += weights[i + 2] * x[i + 2];
            sums[3] += weights[i + 3] * x[i + 3];
        }}
        for (; i < num_columns; i++) {{
            sums[0] += weights[i] * x[i];
        }}
        y[row] = ((sums[0] + sums[1]) + (sums[2] + sums[3])){scale} + (bias ? bias[row] : 0);
    }}
}}"""


def helpers(int8: bool) -> dict[str, str]:
    """The functions that several networks may share, by name, in the order of their use."""
    kind, scales, scale = ("int8_t", "const float *scales, ", " * scales[row]") if int8 else (
        "float", "", ""
    )  # fmt: skip
    return {"multiply": _MULTIPLY.format(kind=kind, scales=scales, scale=scale)} | _HELPERS


_HELPERS = {
    "normalize": """\
/* Layer normalisation and ReLU; what a residual block read is added. */
static void normalize(float *values, const float *gain, const float *shift, size_t size,
                      REAL epsilon, const float *added)
{
    REAL mean = 0, variance = 0;
    for (size_t i = 0; i < size; i++) {
        mean += values[i];
    }
    mean /= size;
    for (size_t i = 0; i < size; i++) {
        variance += (values[i] - mean) * (values[i] - mean);
    }
    const REAL scale = 1 / sqrt(variance / size + epsilon);
    for (size_t i = 0; i < size; i++) {
        const float value = (float)((values[i] - mean) * scale) * gain[i] + shift[i];
        values[i] = (value > 0 ? value : 0) + (added ? added[i] : 0);
    }
}""",
    "sigmoid": """\
static float sigmoid(float value)
{
    return 1 / (1 + exp(-value));
}""",
    "lstm": """\
static void lstm(const float *x, const float *h, size_t size, float *hidden, float *cell)
{
    for (size_t i = 0; i < size; i++) {
        const float input = sigmoid(x[i] + h[i]);
        const float forget = sigmoid(x[size + i] + h[size + i]);
        const float candidate = tanh(x[2 * size + i] + h[2 * size + i]);
        const float output = sigmoid(x[3 * size + i] + h[3 * size + i]);
        cell[i] = forget * cell[i] + input * candidate;
        hidden[i] = output * tanh(cell[i]);
    }
}""",
    "gru": """\
static void gru(const float *x, const float *h, size_t size, float *hidden)
{
    for (size_t i = 0; i < size; i++) {
        const float reset = sigmoid(x[i] + h[i]);
        const float update = sigmoid(x[size + i] + h[size + i]);
        const float candidate = tanh(x[2 * size + i] + reset * h[2 * size + i]);
        hidden[i] = candidate + update * (hidden[i] - candidate);
    }
}""",
    "rnn_tanh": """\
static void rnn_tanh(const float *x, const float *h, size_t size, float *hidden)
{
    for (size_t i = 0; i < size; i++) {
        hidden[i] = tanh(x[i] + h[i]);
    }
}""",
    "rnn_relu": """\
static void rnn_relu(const float *x, const float *h, size_t size, float *hidden)
{
    for (size_t i = 0; i < size; i++) {
        hidden[i] = x[i] + h[i] > 0 ? x[i] + h[i] : 0;
    }
}""",
    "softmax": """\
static void softmax(float *values, size_t size, float temperature)
{
    float highest = values[0], sum = 0;
    for (size_t i = 1; i < size; i++) {
        highest = values[i] > highest ? values[i] : highest;
    }
    for (size_t i = 0; i < size; i++) {
        values[i] = exp((values[i] - highest) / temperature);
        sum += values[i];
    }
    for (size_t i = 0; i < size; i++) {
        values[i] /= sum;
    }
}""",
    "transform": """\
/* The discrete Fourier transform of size values, a power of two (Cooley & Tukey 1965). */
static void transform(REAL *re, REAL *im, size_t size)
{
    for (size_t i = 1, j = 0; i < size; i++) {
        size_t bit = size >> 1;
        for (; j & bit; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            const REAL kept = re[i];
            re[i] = re[j];
            re[j] = kept; /* the imaginary parts are zeros still */
        }
    }
    for (size_t half = 1; half < size; half *= 2) {
        const size_t stride = size / (2 * half);
        for (size_t start = 0; start < size; start += 2 * half) {
            for (size_t i = 0; i < half; i++) {
                const size_t low = start + i, high = low + half;
                const REAL c = cosines[i * stride], s = sines[i * stride];
                const REAL turned_re = re[high] * c - im[high] * s;
                const REAL turned_im = re[high] * s + im[high] * c;
                re[high] = re[low] - turned_re;
                im[high] = im[low] - turned_im;
                re[low] += turned_re;
                im[low] += turned_im;
            }
        }
    }
}""",
}

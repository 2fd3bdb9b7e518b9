/* The compact network's block in fp32, forward and backward, one canvas after another, a thread's worth of work a call.

   For the candidate state with relation pooling, bidirectional or causal. solver/denoisers/network.py is the specification and
   tests/test_compiled.py compares values and gradients with it. setup.py builds this where there is a C compiler, compiled.py
   calls it.

   Shapes: L cells, V tokens, n = L V candidates, D width, H hidden (both multiples of 16), R relations, G groups; row-major.
   A weight matrix (in, out) comes in panels of 16 outputs, (out / 16, in, 16), so that a product reads it in order. */

#include <math.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(32)));
typedef int bits __attribute__((vector_size(32)));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v3") /* AVX2 and FMA; remask_fast() says whether this CPU has them */
#endif
#define INLINE static inline __attribute__((always_inline))
#define EACH _Pragma("GCC unroll 16")

enum { TILE = 6 }; /* rows whose sums stay in registers together: 6 x 16 floats are 12 of AVX2's 16 registers */
enum { MESSAGE, INNER, GROUP_IN, GROUP_OUT, RIVAL_IN, RIVAL_OUT, OUTER, HEAD, KINDS };

struct network {
    int width, hidden;
    const float *weight[KINDS], *bias[KINDS], *turned[KINDS]; /* in panels; null where there is none; transposed, in panels */
};

struct layout {
    int cells, tokens, relations, groups; /* causal: groups = R L, each cell has its own view of its groups */
    int causal;
    const int *member; /* (R, L): a group's number or -1 */
};

INLINE lanes load(const float *p) { lanes v; memcpy(&v, p, sizeof v); return v; }
INLINE void store(float *p, lanes v) { memcpy(p, &v, sizeof v); }
INLINE lanes positive(lanes v) { return (lanes)((bits)v & (v > 0)); }
INLINE float total(lanes v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }
INLINE void add(float *to, const float *from, int n) {
    for (int k = 0; k < n; k += 8) store(to + k, load(to + k) + load(from + k));
}
INLINE void zero(float *to, int n) { memset(to, 0, sizeof(float) * n); }
INLINE void gate(float *gradient, const float *value, int n) { /* of a relu: nothing passes where it gave nothing */
    for (int k = 0; k < n; k += 8) store(gradient + k, (lanes)((bits)load(gradient + k) & (load(value + k) > 0)));
}

enum { RELU = 1, MORE = 2 }; /* what a product does with its sums: clip them, add them to what is there */

/* 16 columns of y (tile, out) = x (tile, in) w + bias. */
INLINE void strip(int tile, const float *x, int in, const float *w, const float *bias, float *y, int out, int how) {
    lanes low[TILE], high[TILE];
    EACH for (int t = 0; t < tile; t++) {
        low[t] = bias ? load(bias) : how & MORE ? load(y + t * out) : (lanes){0};
        high[t] = bias ? load(bias + 8) : how & MORE ? load(y + t * out + 8) : (lanes){0};
    }
    for (int k = 0; k < in; k++) {
        const lanes a = load(w + 16 * k), b = load(w + 16 * k + 8);
        EACH for (int t = 0; t < tile; t++) {
            const float value = x[t * in + k];
            low[t] += value * a;
            high[t] += value * b;
        }
    }
    EACH for (int t = 0; t < tile; t++) {
        store(y + t * out, how & RELU ? positive(low[t]) : low[t]);
        store(y + t * out + 8, how & RELU ? positive(high[t]) : high[t]);
    }
}

INLINE void product_of(int n, const float *x, int in, const float *w, const float *bias, float *y, int out, int how) {
    for (int i = 0; i < n; i += TILE)
        for (int o = 0; o < out; o += 16) {
            const float *panel = w + o * in, *shift = bias ? bias + o : bias;
            if (n - i >= TILE) strip(TILE, x + i * in, in, panel, shift, y + i * out + o, out, how);
            else for (int j = i; j < n; j++) strip(1, x + j * in, in, panel, shift, y + j * out + o, out, how);
        }
}

/* y (n, out) = x (n, in) w + bias; the compiler knows the sizes of the shipped networks. */
static void product(int n, const float *x, int in, const float *w, const float *bias, float *y, int out, int how) {
    if (in == 32) product_of(n, x, 32, w, bias, y, out, how);
    else if (in == 64) product_of(n, x, 64, w, bias, y, out, how);
    else product_of(n, x, in, w, bias, y, out, how);
}

/* `tile` rows of a panel of the weight's gradient. */
INLINE void outer_strip(int tile, int n, const float *x, int in, const float *dy, int out, float *dw) {
    lanes low[TILE], high[TILE];
    EACH for (int t = 0; t < tile; t++) low[t] = load(dw + 16 * t), high[t] = load(dw + 16 * t + 8);
    for (int i = 0; i < n; i++) {
        const lanes a = load(dy + i * out), b = load(dy + i * out + 8);
        EACH for (int t = 0; t < tile; t++) {
            const float value = x[i * in + t];
            low[t] += value * a;
            high[t] += value * b;
        }
    }
    EACH for (int t = 0; t < tile; t++) store(dw + 16 * t, low[t]), store(dw + 16 * t + 8, high[t]);
}

/* The gradients of a product's weight, in panels, and of its bias, from that of its output: added to what is there. */
static void learn(int n, const float *x, int in, const float *dy, int out, float *dw, float *db) {
    enum { BAND = 128 }; /* rows that stay in the first cache while all panels go over them */
    for (int from = 0; from < n; from += BAND) {
        const int now = n - from < BAND ? n - from : BAND;
        const float *xs = x + from * in, *dys = dy + from * out;
        for (int o = 0; o < out; o += 16) {
            int k = 0;
            for (; k + TILE <= in; k += TILE) outer_strip(TILE, now, xs + k, in, dys + o, out, dw + o * in + 16 * k);
            for (; k + 2 <= in; k += 2) outer_strip(2, now, xs + k, in, dys + o, out, dw + o * in + 16 * k);
        }
        if (db) for (int i = 0; i < now; i++) add(db, dys + i * out, out);
    }
}

/* Everything a loop leaves behind that its backward wants, in one piece of scratch. */
struct work {
    float *heard, *spoken, *sent, *own, *inner, *scale; /* (n, D) four times, (n, H), (n,) */
    float *pooled, *middle, *back;                      /* (G V, D), (G V, H), (G V, H) */
    float *rival, *rmiddle, *rback;                     /* (L, D), (L, H), (L, H) */
    float *d_inner, *d_sent, *d_own, *d_pooled, *d_middle, *d_rival, *d_rback, *update;
};

INLINE float *carve(float **from, int size) { float *p = *from; *from += (size + 15) / 16 * 16; return p; }

static struct work divide(const struct network *net, const struct layout *b, float *scratch, float **end) {
    const int n = b->cells * b->tokens, m = b->groups * b->tokens, d = net->width, h = net->hidden;
    struct work w;
    w.heard = carve(&scratch, n * d), w.sent = carve(&scratch, n * d);
    w.spoken = b->causal ? carve(&scratch, n * d) : w.heard;
    w.own = b->causal ? carve(&scratch, n * d) : w.sent;
    w.inner = carve(&scratch, n * h), w.scale = carve(&scratch, n);
    w.pooled = carve(&scratch, m * d), w.middle = carve(&scratch, m * h), w.back = carve(&scratch, m * h);
    w.rival = carve(&scratch, b->cells * d), w.rmiddle = carve(&scratch, b->cells * h), w.rback = carve(&scratch, b->cells * h);
    w.d_inner = carve(&scratch, n * h), w.d_sent = carve(&scratch, n * d), w.update = carve(&scratch, n * d);
    w.d_own = b->causal ? carve(&scratch, n * d) : w.d_sent;
    w.d_pooled = carve(&scratch, m * d), w.d_middle = carve(&scratch, (m > b->cells ? m : b->cells) * h); /* serves both */
    w.d_rival = carve(&scratch, b->cells * d), w.d_rback = carve(&scratch, b->cells * h);
    *end = scratch;
    return w;
}

/* Floats of scratch that a call needs. */
long remask_scratch(const struct network *net, const struct layout *b) {
    float *end;
    divide(net, b, (float *)0, &end); /* nothing is written */
    return end - (float *)0 + (long)b->tokens * net->width; /* and one cell, for remask_append */
}

/* pooled (G V, D): what each group says. Causal: a cell hears those of lower `order` (L,), and cells of
   order 0, the prefix, hear each other. */
INLINE void pool(const struct layout *b, int d, const unsigned char *order, const float *sent, float *pooled) {
    const int size = b->tokens * d;
    zero(pooled, b->groups * size);
    for (int r = 0; r < b->relations; r++) {
        const int *member = b->member + r * b->cells;
        for (int c = 0; c < b->cells; c++) {
            if (member[c] < 0) continue;
            if (!b->causal) add(pooled + member[c] * size, sent + c * size, size);
            else for (int j = 0; j < b->cells; j++)
                if (member[j] == member[c] && (order[j] < order[c] || !(order[j] | order[c])))
                    add(pooled + (r * b->cells + c) * size, sent + j * size, size);
        }
    }
}

INLINE void pool_backward(const struct layout *b, int d, const unsigned char *order, const float *d_pooled, float *d_sent) {
    const int size = b->tokens * d;
    for (int r = 0; r < b->relations; r++) {
        const int *member = b->member + r * b->cells;
        for (int c = 0; c < b->cells; c++) {
            if (member[c] < 0) continue;
            if (!b->causal) add(d_sent + c * size, d_pooled + member[c] * size, size);
            else for (int j = 0; j < b->cells; j++)
                if (member[j] == member[c] && (order[j] < order[c] || !(order[j] | order[c])))
                    add(d_sent + j * size, d_pooled + (r * b->cells + c) * size, size);
        }
    }
}

/* The first half of an inner loop: what each of n candidates says to the others, and its own part of the hidden layer. */
INLINE void speak(const struct network *net, int d, int h, int causal, int n, const float *x, const float *said,
                  const float *state, const struct work *w) {
    for (int k = 0; k < n * d; k += 8) store(w->heard + k, load(state + k) + load(x + k));
    product(n, w->heard, d, net->weight[INNER], net->bias[INNER], w->inner, h, 0);
    product(n, w->heard, d, net->weight[MESSAGE], net->bias[MESSAGE], w->own, d, RELU);
    if (!causal) return;
    for (int k = 0; k < n * d; k += 8) store(w->spoken + k, load(state + k) + load(said + k));
    product(n, w->spoken, d, net->weight[MESSAGE], net->bias[MESSAGE], w->sent, d, RELU);
}

/* The second: what the groups say, in w->pooled, and the cell's other candidates, into the hidden layer. */
INLINE void hear(const struct network *net, int d, int h, const struct layout *b, const struct work *w) {
    const int cells = b->cells, tokens = b->tokens, m = b->groups * tokens;
    zero(w->rival, cells * d);
    for (int c = 0; c < cells; c++)
        for (int t = 0; t < tokens; t++) add(w->rival + c * d, w->own + (c * tokens + t) * d, d);
    product(m, w->pooled, d, net->weight[GROUP_IN], net->bias[GROUP_IN], w->middle, h, RELU);
    product(m, w->middle, h, net->weight[GROUP_OUT], 0, w->back, h, 0);
    product(cells, w->rival, d, net->weight[RIVAL_IN], net->bias[RIVAL_IN], w->rmiddle, h, RELU);
    product(cells, w->rmiddle, h, net->weight[RIVAL_OUT], 0, w->rback, h, 0);
    for (int c = 0; c < cells; c++) {
        for (int r = 0; r < b->relations; r++) {
            const int g = b->member[r * cells + c];
            if (g >= 0) add(w->inner + c * tokens * h, w->back + (b->causal ? r * cells + c : g) * tokens * h, tokens * h);
        }
        for (int t = 0; t < tokens; t++)
            for (int o = 0; o < h; o += 8) {
                float *p = w->inner + (c * tokens + t) * h + o;
                store(p, positive(load(p) + load(w->rback + c * h + o)));
            }
    }
}

/* The third: the next state (n, D), which may be the place of the last one; `scale` (n,) is what each candidate was scaled by. */
INLINE void update(const struct network *net, int d, int h, int n, const float *state, float *next, float *scale,
                   const struct work *w) {
    product(n, w->inner, h, net->weight[OUTER], net->bias[OUTER], w->update, d, 0);
    for (int i = 0; i < n; i++) {
        const float *s = state + i * d, *u = w->update + i * d;
        lanes square = {0};
        for (int k = 0; k < d; k += 8) { const lanes v = load(s + k) + load(u + k); square += v * v; }
        scale[i] = 1.0f / sqrtf(total(square) / d + 1e-7f);
        for (int k = 0; k < d; k += 8) store(next + i * d + k, (load(s + k) + load(u + k)) * scale[i]);
    }
}

/* Up to the hidden layer of one inner loop. said is x where the board is not causal. */
INLINE void listen_of(const struct network *net, int d, int h, const struct layout *b, const unsigned char *order, const float *x,
                      const float *said, const float *state, const struct work *w) {
    speak(net, d, h, b->causal, b->cells * b->tokens, x, said, state, w);
    pool(b, d, order, w->sent, w->pooled);
    hear(net, d, h, b, w);
}

static void listen(const struct network *net, const struct layout *b, const unsigned char *order, const float *x,
                   const float *said, const float *state, const struct work *w) {
    if (net->width == 32 && net->hidden == 64) listen_of(net, 32, 64, b, order, x, said, state, w);
    else listen_of(net, net->width, net->hidden, b, order, x, said, state, w);
}

/* One inner loop: state (n, D) to next (n, D). */
static void advance(const struct network *net, const struct layout *b, const unsigned char *order, const float *x,
                    const float *said, const float *state, float *next, float *scale, const struct work *w) {
    listen(net, b, order, x, said, state, w);
    if (net->width == 32 && net->hidden == 64) update(net, 32, 64, b->cells * b->tokens, state, next, scale, w);
    else update(net, net->width, net->hidden, b->cells * b->tokens, state, next, scale, w);
}

/* The gradient of a loop, after `listen` has filled the scratch for it again: d_state (n, D) from that of `next` to that of the
   state before; d_x and d_said (n, D) and the parameters' gradients are added to. */
INLINE void retreat_of(const struct network *net, int d, int h, const struct layout *b, const unsigned char *order,
                       const float *next, const float *scale, float *d_state, float *d_x, float *d_said, float *const *dw,
                       float *const *db, const struct work *w) {
    const int cells = b->cells, tokens = b->tokens, n = cells * tokens, m = b->groups * tokens;
    for (int i = 0; i < n; i++) { /* through the norm */
        const float *s = next + i * d;
        float *g = d_state + i * d;
        lanes along = {0};
        for (int k = 0; k < d; k += 8) along += load(g + k) * load(s + k);
        const float mean = total(along) / d;
        for (int k = 0; k < d; k += 8) store(g + k, (load(g + k) - load(s + k) * mean) * scale[i]);
    }
    product(n, d_state, d, net->turned[OUTER], 0, w->d_inner, h, 0);
    gate(w->d_inner, w->inner, n * h);
    learn(n, w->inner, h, d_state, d, dw[OUTER], db[OUTER]);
    float *const d_back = w->back, *const d_rback = w->d_rback; /* what came back is not wanted any more */
    zero(d_back, m * h), zero(d_rback, cells * h);
    for (int c = 0; c < cells; c++) {
        for (int t = 0; t < tokens; t++) add(d_rback + c * h, w->d_inner + (c * tokens + t) * h, h);
        for (int r = 0; r < b->relations; r++) {
            const int g = b->member[r * cells + c];
            if (g >= 0) add(d_back + (b->causal ? r * cells + c : g) * tokens * h, w->d_inner + c * tokens * h, tokens * h);
        }
    }
    learn(m, w->middle, h, d_back, h, dw[GROUP_OUT], 0);
    product(m, d_back, h, net->turned[GROUP_OUT], 0, w->d_middle, h, 0);
    gate(w->d_middle, w->middle, m * h);
    learn(m, w->pooled, d, w->d_middle, h, dw[GROUP_IN], db[GROUP_IN]);
    product(m, w->d_middle, h, net->turned[GROUP_IN], 0, w->d_pooled, d, 0);
    zero(w->d_sent, n * d);
    pool_backward(b, d, order, w->d_pooled, w->d_sent);
    learn(cells, w->rmiddle, h, d_rback, h, dw[RIVAL_OUT], 0);
    product(cells, d_rback, h, net->turned[RIVAL_OUT], 0, w->d_middle, h, 0);
    gate(w->d_middle, w->rmiddle, cells * h);
    learn(cells, w->rival, d, w->d_middle, h, dw[RIVAL_IN], db[RIVAL_IN]);
    product(cells, w->d_middle, h, net->turned[RIVAL_IN], 0, w->d_rival, d, 0);
    if (b->causal) zero(w->d_own, n * d);
    for (int c = 0; c < cells; c++)
        for (int t = 0; t < tokens; t++) add(w->d_own + (c * tokens + t) * d, w->d_rival + c * d, d);
    gate(w->d_own, w->own, n * d);
    learn(n, w->heard, d, w->d_own, d, dw[MESSAGE], db[MESSAGE]);
    learn(n, w->heard, d, w->d_inner, h, dw[INNER], db[INNER]);
    float *const d_heard = w->update;
    product(n, w->d_own, d, net->turned[MESSAGE], 0, d_heard, d, 0);
    product(n, w->d_inner, h, net->turned[INNER], 0, d_heard, d, MORE);
    add(d_state, d_heard, n * d), add(d_x, d_heard, n * d);
    if (b->causal) {
        gate(w->d_sent, w->sent, n * d);
        learn(n, w->spoken, d, w->d_sent, d, dw[MESSAGE], db[MESSAGE]);
        product(n, w->d_sent, d, net->turned[MESSAGE], 0, d_heard, d, 0);
        add(d_state, d_heard, n * d), add(d_said, d_heard, n * d);
    }
}

static void retreat(const struct network *net, const struct layout *b, const unsigned char *order, const float *next,
                    const float *scale, float *d_state, float *d_x, float *d_said, float *const *dw, float *const *db,
                    const struct work *w) {
    if (net->width == 32 && net->hidden == 64)
        retreat_of(net, 32, 64, b, order, next, scale, d_state, d_x, d_said, dw, db, w);
    else
        retreat_of(net, net->width, net->hidden, b, order, next, scale, d_state, d_x, d_said, dw, db, w);
}

INLINE void read_out(const struct network *net, const float *state, int n, float *logits) {
    for (int i = 0; i < n; i++) {
        lanes sum = {0};
        for (int k = 0; k < net->width; k += 8) sum += load(state + i * net->width + k) * load(net->weight[HEAD] + k);
        logits[i] = net->bias[HEAD][0] + total(sum);
    }
}

/* Loop each of `rows` canvases until it has settled, at most `loops` times, with a look every `chunk` loops: its best tokens stood
   since the last look, and every cell that is not given is at least `settled` sure. order, given: (rows, L).
   state (rows, n, D) in and out, x and said of the same shape; out: logits (rows, n), taken (rows,). */
void remask_settle(const struct network *net, const struct layout *b, int rows, int loops, int chunk, float settled,
                   const unsigned char *order, const unsigned char *given, const float *x, const float *said, float *state,
                   float *logits, int *taken, float *scratch, int *best) {
    const int cells = b->cells, tokens = b->tokens, n = cells * tokens, size = n * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int row = 0; row < rows; row++) {
        for (int c = 0; c < cells; c++) best[c] = -1;
        for (int done = 0, leave = 0; done < loops && !leave;) {
            const int now = loops - done < chunk ? loops - done : chunk;
            for (int k = 0; k < now; k++) advance(net, b, order, x, said, state, state, w.scale, &w);
            taken[row] = done += now;
            read_out(net, state, n, logits);
            leave = 1;
            for (int c = 0; c < cells; c++) {
                const float *l = logits + c * tokens;
                int top = 0;
                float sum = 0;
                for (int t = 1; t < tokens; t++) top = l[t] > l[top] ? t : top;
                for (int t = 0; t < tokens; t++) sum += expf(l[t] - l[top]);
                leave &= top == best[c] && (given[c] || 1.0f >= settled * sum);
                best[c] = top;
            }
        }
        order += cells, given += cells, x += size, said += size, state += size, logits += n;
    }
}

/* `loops` loops with every state kept: states (rows, loops + 1, n, D), the first of each row filled by the caller, and what each
   was scaled by, scales (rows, loops, n). */
void remask_forward(const struct network *net, const struct layout *b, int rows, int loops, const unsigned char *order,
                    const float *x, const float *said, float *states, float *scales, float *scratch) {
    const int n = b->cells * b->tokens, size = n * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int row = 0; row < rows; row++, order += b->cells, x += size, said += size, states += size)
        for (int k = 0; k < loops; k++, states += size, scales += n)
            advance(net, b, order, x, said, states, states + size, scales, &w);
}

/* Gradients of the above: d_state (rows, n, D) comes as that of the last state; d_x, d_said (rows, n, D) and the parameters' dw, db
   are added to. */
void remask_backward(const struct network *net, const struct layout *b, int rows, int loops, const unsigned char *order,
                     const float *x, const float *said, const float *states, const float *scales, float *d_state, float *d_x,
                     float *d_said, float *const *dw, float *const *db, float *scratch) {
    const int n = b->cells * b->tokens, size = n * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int row = 0; row < rows; row++) {
        for (int k = loops - 1; k >= 0; k--) {
            const float *state = states + k * size;
            listen(net, b, order, x, said, state, &w); /* the states are kept, the rest is made again */
            retreat(net, b, order, state + size, scales + k * n, d_state, d_x, d_said, dw, db, &w);
        }
        scales += loops * n;
        order += b->cells, x += size, said += size, states += (loops + 1) * size, d_state += size, d_x += size, d_said += size;
    }
}

/* Left to right with a cache: sent (L, K, V, D) of a row holds what each known cell says at each of K loops.

   The prefix: a board of the given cells alone, all of which see each other; cell (L,) are their places on the whole board. */
void remask_prefix(const struct network *net, const struct layout *b, int loops, const unsigned char *order, const float *x,
                   const int *cell, float *state, float *sent, float *scratch) {
    const int size = b->tokens * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int k = 0; k < loops; k++) {
        advance(net, b, order, x, x, state, state, w.scale, &w);
        for (int c = 0; c < b->cells; c++) memcpy(sent + ((long)cell[c] * loops + k) * size, w.sent + c * size, sizeof(float) * size);
    }
}

/* The next cell of `count` rows: its logits (count, V) from the cells that are `visible` (count, L), and its own states, which it says
   only once its token is known. Row i has its cache at sent[row[i]] and states[row[i]], each (L, K, V, D). x and first (V, D) are
   those of any open cell. */
void remask_append(const struct network *net, const struct layout *whole, int count, const int *row, int loops, const int *cell,
                   const unsigned char *visible, const float *x, const float *first, const float *sent, float *states,
                   float *logits, float *scratch) {
    const int cells = whole->cells, tokens = whole->tokens, relations = whole->relations, size = tokens * net->width;
    const long cache = (long)cells * loops * size;
    for (int i = 0; i < count; i++, visible += cells, logits += tokens) {
        int member[16]; /* of this cell; compiled.py sees to it that there are no more relations than that */
        for (int r = 0; r < relations; r++) member[r] = whole->member[r * cells + cell[i]];
        const struct layout alone = {1, tokens, relations, relations, 1, member};
        const float *said = sent + row[i] * cache;
        float *end, *keep = states + row[i] * cache + (long)cell[i] * loops * size;
        const struct work w = divide(net, &alone, scratch, &end);
        memcpy(end, first, sizeof(float) * size);
        for (int k = 0; k < loops; k++, keep += size) {
            memcpy(keep, end, sizeof(float) * size);
            speak(net, net->width, net->hidden, 0, tokens, x, x, end, &w);
            zero(w.pooled, relations * size);
            for (int r = 0; r < relations; r++)
                for (int j = 0; j < cells; j++)
                    if (visible[j] && member[r] >= 0 && whole->member[r * cells + j] == member[r])
                        add(w.pooled + r * size, said + ((long)j * loops + k) * size, size);
            hear(net, net->width, net->hidden, &alone, &w);
            update(net, net->width, net->hidden, tokens, end, end, w.scale, &w);
        }
        read_out(net, end, tokens, logits);
    }
}

/* What those cells say at each loop, now that their tokens are known: said (count, V, D) into `sent`. */
void remask_say(const struct network *net, const struct layout *whole, int count, const int *row, int loops, const int *cell,
                const float *said, const float *states, float *sent, float *scratch) {
    const int tokens = whole->tokens, size = tokens * net->width;
    for (int i = 0; i < count; i++, said += size) {
        const long at = ((long)row[i] * whole->cells + cell[i]) * loops * size;
        for (int k = 0; k < loops; k++) {
            for (int j = 0; j < size; j += 8) store(scratch + j, load(states + at + (long)k * size + j) + load(said + j));
            product(tokens, scratch, net->width, net->weight[MESSAGE], net->bias[MESSAGE], sent + at + (long)k * size, net->width,
                    RELU);
        }
    }
}

/* Whether this CPU runs it well: elsewhere torch does better. */
int remask_fast(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 1;
#endif
}

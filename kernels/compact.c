/* The looped network's block in fp32, forward and backward. Each call works on its rows one after the
   other, on one thread.

   solver/models/looped.py is the specification; tests/test_compiled.py compares values and gradients
   with it. setup.py builds this file if it finds a C compiler, and looped_c.py calls it.

   Shapes, row-major: L cells, V tokens, n = L V candidates, D width, H hidden (both multiples of 16), R
   relations, G groups. A weight matrix (in, out) is stored as panels of 16 outputs, (out / 16, in, 16),
   so that a product reads it sequentially. */

#include <math.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(32)));
typedef int bits __attribute__((vector_size(32)));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("arch=x86-64-v3") /* AVX2 and FMA; see remask_fast() */
#endif
#define INLINE static inline __attribute__((always_inline))
#define EACH _Pragma("GCC unroll 16")

enum { TILE = 6 }; /* rows summed in registers at a time: 6 x 16 floats fill 12 of AVX2's 16 registers */
enum { MESSAGE, INNER, GROUP_IN, GROUP_OUT, RIVAL_IN, RIVAL_OUT, OUTER, HEAD, KINDS };

struct network {
    int width, hidden;
    const float *weight[KINDS];     /* in panels */
    const float *bias[KINDS];       /* null if there is none */
    const float *transposed[KINDS]; /* the transposed weights, in panels */
};

struct layout {
    int cells, tokens, relations, groups; /* causal: groups = R L, one view per cell and relation */
    int causal;
    const int *member; /* (R, L): a group's number or -1 */
};

INLINE lanes load(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}
INLINE void store(float *p, lanes v) { memcpy(p, &v, sizeof v); }
INLINE lanes positive(lanes v) { return (lanes)((bits)v & (v > 0)); }
INLINE float total(lanes v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }
INLINE void add(float *to, const float *from, int n) {
    for (int k = 0; k < n; k += 8) store(to + k, load(to + k) + load(from + k));
}
INLINE void zero(float *to, int n) { memset(to, 0, sizeof(float) * n); }
INLINE void gate(float *gradient, const float *value, int n) { /* backward of a ReLU */
    for (int k = 0; k < n; k += 8)
        store(gradient + k, (lanes)((bits)load(gradient + k) & (load(value + k) > 0)));
}

enum { RELU = 1, MORE = 2 }; /* flags of a product: apply ReLU; add to y */

/* 16 columns of y (tile, out) = x (tile, in) w + bias. */
INLINE void strip(int tile, const float *x, int in, const float *w, const float *bias, float *y, int out,
                  int how) {
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

INLINE void product_of(int n, const float *x, int in, const float *w, const float *bias, float *y, int out,
                       int how) {
    for (int i = 0; i < n; i += TILE)
        for (int o = 0; o < out; o += 16) {
            const float *panel = w + o * in, *shift = bias ? bias + o : bias;
            if (n - i >= TILE) strip(TILE, x + i * in, in, panel, shift, y + i * out + o, out, how);
            else
                for (int j = i; j < n; j++) strip(1, x + j * in, in, panel, shift, y + j * out + o, out, how);
        }
}

/* y (n, out) = x (n, in) w + bias, specialised for the widths of the shipped networks. */
static void product(int n, const float *x, int in, const float *w, const float *bias, float *y, int out,
                    int how) {
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

/* Add the gradients of a product's weight (in panels) and bias, given the gradient dy of its output. */
static void accumulate(int n, const float *x, int in, const float *dy, int out, float *dw, float *db) {
    enum { BAND = 128 }; /* rows that stay in the L1 cache while all panels are updated */
    for (int from = 0; from < n; from += BAND) {
        const int now = n - from < BAND ? n - from : BAND;
        const float *xs = x + from * in, *dys = dy + from * out;
        for (int o = 0; o < out; o += 16) {
            int k = 0;
            for (; k + TILE <= in; k += TILE)
                outer_strip(TILE, now, xs + k, in, dys + o, out, dw + o * in + 16 * k);
            for (; k + 2 <= in; k += 2) outer_strip(2, now, xs + k, in, dys + o, out, dw + o * in + 16 * k);
        }
        if (db)
            for (int i = 0; i < now; i++) add(db, dys + i * out, out);
    }
}

/* Intermediate values of one iteration that its backward pass needs, carved out of one scratch buffer. */
struct work {
    float *features, *outgoing, *sent, *own, *inner, *scale; /* (n, D) four times, (n, H), (n,) */
    float *pooled, *middle, *back;                           /* (G V, D), (G V, H), (G V, H) */
    float *rival, *rmiddle, *rback;                          /* (L, D), (L, H), (L, H) */
    float *d_inner, *d_sent, *d_own, *d_pooled, *d_middle, *d_rival, *d_rback, *update;
};

INLINE float *carve(float **from, int size) {
    float *p = *from;
    *from += (size + 15) / 16 * 16;
    return p;
}

static struct work divide(const struct network *net, const struct layout *b, float *scratch, float **end) {
    const int n = b->cells * b->tokens, m = b->groups * b->tokens, d = net->width, h = net->hidden;
    struct work w;
    w.features = carve(&scratch, n * d), w.sent = carve(&scratch, n * d);
    w.outgoing = b->causal ? carve(&scratch, n * d) : w.features;
    w.own = b->causal ? carve(&scratch, n * d) : w.sent;
    w.inner = carve(&scratch, n * h), w.scale = carve(&scratch, n);
    w.pooled = carve(&scratch, m * d), w.middle = carve(&scratch, m * h), w.back = carve(&scratch, m * h);
    w.rival = carve(&scratch, b->cells * d), w.rmiddle = carve(&scratch, b->cells * h),
    w.rback = carve(&scratch, b->cells * h);
    w.d_inner = carve(&scratch, n * h), w.d_sent = carve(&scratch, n * d), w.update = carve(&scratch, n * d);
    w.d_own = b->causal ? carve(&scratch, n * d) : w.d_sent;
    w.d_pooled = carve(&scratch, m * d),
    w.d_middle = carve(&scratch, (m > b->cells ? m : b->cells) * h); /* used for both */
    w.d_rival = carve(&scratch, b->cells * d), w.d_rback = carve(&scratch, b->cells * h);
    *end = scratch;
    return w;
}

/* The size of the scratch buffer in floats. */
long remask_scratch(const struct network *net, const struct layout *b) {
    float *end;
    divide(net, b, (float *)0, &end);                       /* nothing is written */
    return end - (float *)0 + (long)b->tokens * net->width; /* plus one cell, for remask_append */
}

/* Sum messages by group: pooled (G V, D). Causal: a cell receives messages of cells with a lower `order`
   (L,); cells of order 0, the prefix, receive each other's. */
INLINE void pool(const struct layout *b, int d, const unsigned char *order, const float *sent,
                 float *pooled) {
    const int size = b->tokens * d;
    zero(pooled, b->groups * size);
    for (int r = 0; r < b->relations; r++) {
        const int *member = b->member + r * b->cells;
        for (int c = 0; c < b->cells; c++) {
            if (member[c] < 0) continue;
            if (!b->causal) add(pooled + member[c] * size, sent + c * size, size);
            else
                for (int j = 0; j < b->cells; j++)
                    if (member[j] == member[c] && (order[j] < order[c] || !(order[j] | order[c])))
                        add(pooled + (r * b->cells + c) * size, sent + j * size, size);
        }
    }
}

INLINE void pool_backward(const struct layout *b, int d, const unsigned char *order, const float *d_pooled,
                          float *d_sent) {
    const int size = b->tokens * d;
    for (int r = 0; r < b->relations; r++) {
        const int *member = b->member + r * b->cells;
        for (int c = 0; c < b->cells; c++) {
            if (member[c] < 0) continue;
            if (!b->causal) add(d_sent + c * size, d_pooled + member[c] * size, size);
            else
                for (int j = 0; j < b->cells; j++)
                    if (member[j] == member[c] && (order[j] < order[c] || !(order[j] | order[c])))
                        add(d_sent + j * size, d_pooled + (r * b->cells + c) * size, size);
        }
    }
}

/* Iteration, step 1: the messages of n candidates, and their own contribution to the hidden layer. */
INLINE void send(const struct network *net, int d, int h, int causal, int n, const float *x,
                 const float *source, const float *state, const struct work *w) {
    for (int k = 0; k < n * d; k += 8) store(w->features + k, load(state + k) + load(x + k));
    product(n, w->features, d, net->weight[INNER], net->bias[INNER], w->inner, h, 0);
    product(n, w->features, d, net->weight[MESSAGE], net->bias[MESSAGE], w->own, d, RELU);
    if (!causal) return;
    for (int k = 0; k < n * d; k += 8) store(w->outgoing + k, load(state + k) + load(source + k));
    product(n, w->outgoing, d, net->weight[MESSAGE], net->bias[MESSAGE], w->sent, d, RELU);
}

/* Iteration, step 2: add the groups' messages (w->pooled) and those of rival candidates to the hidden
   layer. */
INLINE void receive(const struct network *net, int d, int h, const struct layout *b, const struct work *w) {
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
            if (g >= 0)
                add(w->inner + c * tokens * h, w->back + (b->causal ? r * cells + c : g) * tokens * h,
                    tokens * h);
        }
        for (int t = 0; t < tokens; t++)
            for (int o = 0; o < h; o += 8) {
                float *p = w->inner + (c * tokens + t) * h + o;
                store(p, positive(load(p) + load(w->rback + c * h + o)));
            }
    }
}

/* Iteration, step 3: the next state (n, D), possibly in place; `scale` (n,) receives the normalisation
   factors. */
INLINE void update(const struct network *net, int d, int h, int n, const float *state, float *next,
                   float *scale, const struct work *w) {
    product(n, w->inner, h, net->weight[OUTER], net->bias[OUTER], w->update, d, 0);
    for (int i = 0; i < n; i++) {
        const float *s = state + i * d, *u = w->update + i * d;
        lanes square = {0};
        for (int k = 0; k < d; k += 8) {
            const lanes v = load(s + k) + load(u + k);
            square += v * v;
        }
        scale[i] = 1.0f / sqrtf(total(square) / d + 1e-7f);
        for (int k = 0; k < d; k += 8) store(next + i * d + k, (load(s + k) + load(u + k)) * scale[i]);
    }
}

/* One iteration up to its hidden layer. `source` is unused in the bidirectional form. */
INLINE void hidden_layer_of(const struct network *net, int d, int h, const struct layout *b,
                            const unsigned char *order, const float *x, const float *source,
                            const float *state, const struct work *w) {
    send(net, d, h, b->causal, b->cells * b->tokens, x, source, state, w);
    pool(b, d, order, w->sent, w->pooled);
    receive(net, d, h, b, w);
}

static void hidden_layer(const struct network *net, const struct layout *b, const unsigned char *order,
                         const float *x, const float *source, const float *state, const struct work *w) {
    if (net->width == 32 && net->hidden == 64) hidden_layer_of(net, 32, 64, b, order, x, source, state, w);
    else hidden_layer_of(net, net->width, net->hidden, b, order, x, source, state, w);
}

/* One iteration: state (n, D) to next (n, D). */
static void advance(const struct network *net, const struct layout *b, const unsigned char *order,
                    const float *x, const float *source, const float *state, float *next, float *scale,
                    const struct work *w) {
    hidden_layer(net, b, order, x, source, state, w);
    if (net->width == 32 && net->hidden == 64)
        update(net, 32, 64, b->cells * b->tokens, state, next, scale, w);
    else update(net, net->width, net->hidden, b->cells * b->tokens, state, next, scale, w);
}

/* The backward pass of one iteration, after `hidden_layer` has recomputed its values: d_state (n, D)
   holds the gradient of `next` before and that of the previous state after; d_x, d_source (n, D), dw and
   db are added to. */
INLINE void backward_of(const struct network *net, int d, int h, const struct layout *b,
                        const unsigned char *order, const float *next, const float *scale, float *d_state,
                        float *d_x, float *d_source, float *const *dw, float *const *db,
                        const struct work *w) {
    const int cells = b->cells, tokens = b->tokens, n = cells * tokens, m = b->groups * tokens;
    for (int i = 0; i < n; i++) { /* through the norm */
        const float *s = next + i * d;
        float *g = d_state + i * d;
        lanes along = {0};
        for (int k = 0; k < d; k += 8) along += load(g + k) * load(s + k);
        const float mean = total(along) / d;
        for (int k = 0; k < d; k += 8) store(g + k, (load(g + k) - load(s + k) * mean) * scale[i]);
    }
    product(n, d_state, d, net->transposed[OUTER], 0, w->d_inner, h, 0);
    gate(w->d_inner, w->inner, n * h);
    accumulate(n, w->inner, h, d_state, d, dw[OUTER], db[OUTER]);
    float *const d_back = w->back, *const d_rback = w->d_rback; /* the forward values are no longer needed */
    zero(d_back, m * h), zero(d_rback, cells * h);
    for (int c = 0; c < cells; c++) {
        for (int t = 0; t < tokens; t++) add(d_rback + c * h, w->d_inner + (c * tokens + t) * h, h);
        for (int r = 0; r < b->relations; r++) {
            const int g = b->member[r * cells + c];
            if (g >= 0)
                add(d_back + (b->causal ? r * cells + c : g) * tokens * h, w->d_inner + c * tokens * h,
                    tokens * h);
        }
    }
    accumulate(m, w->middle, h, d_back, h, dw[GROUP_OUT], 0);
    product(m, d_back, h, net->transposed[GROUP_OUT], 0, w->d_middle, h, 0);
    gate(w->d_middle, w->middle, m * h);
    accumulate(m, w->pooled, d, w->d_middle, h, dw[GROUP_IN], db[GROUP_IN]);
    product(m, w->d_middle, h, net->transposed[GROUP_IN], 0, w->d_pooled, d, 0);
    zero(w->d_sent, n * d);
    pool_backward(b, d, order, w->d_pooled, w->d_sent);
    accumulate(cells, w->rmiddle, h, d_rback, h, dw[RIVAL_OUT], 0);
    product(cells, d_rback, h, net->transposed[RIVAL_OUT], 0, w->d_middle, h, 0);
    gate(w->d_middle, w->rmiddle, cells * h);
    accumulate(cells, w->rival, d, w->d_middle, h, dw[RIVAL_IN], db[RIVAL_IN]);
    product(cells, w->d_middle, h, net->transposed[RIVAL_IN], 0, w->d_rival, d, 0);
    if (b->causal) zero(w->d_own, n * d);
    for (int c = 0; c < cells; c++)
        for (int t = 0; t < tokens; t++) add(w->d_own + (c * tokens + t) * d, w->d_rival + c * d, d);
    gate(w->d_own, w->own, n * d);
    accumulate(n, w->features, d, w->d_own, d, dw[MESSAGE], db[MESSAGE]);
    accumulate(n, w->features, d, w->d_inner, h, dw[INNER], db[INNER]);
    float *const d_features = w->update;
    product(n, w->d_own, d, net->transposed[MESSAGE], 0, d_features, d, 0);
    product(n, w->d_inner, h, net->transposed[INNER], 0, d_features, d, MORE);
    add(d_state, d_features, n * d), add(d_x, d_features, n * d);
    if (b->causal) {
        gate(w->d_sent, w->sent, n * d);
        accumulate(n, w->outgoing, d, w->d_sent, d, dw[MESSAGE], db[MESSAGE]);
        product(n, w->d_sent, d, net->transposed[MESSAGE], 0, d_features, d, 0);
        add(d_state, d_features, n * d), add(d_source, d_features, n * d);
    }
}

static void backward(const struct network *net, const struct layout *b, const unsigned char *order,
                     const float *next, const float *scale, float *d_state, float *d_x, float *d_source,
                     float *const *dw, float *const *db, const struct work *w) {
    if (net->width == 32 && net->hidden == 64)
        backward_of(net, 32, 64, b, order, next, scale, d_state, d_x, d_source, dw, db, w);
    else backward_of(net, net->width, net->hidden, b, order, next, scale, d_state, d_x, d_source, dw, db, w);
}

INLINE void read_out(const struct network *net, const float *state, int n, float *logits) {
    for (int i = 0; i < n; i++) {
        lanes sum = {0};
        for (int k = 0; k < net->width; k += 8)
            sum += load(state + i * net->width + k) * load(net->weight[HEAD] + k);
        logits[i] = net->bias[HEAD][0] + total(sum);
    }
}

/* Iterate each of `rows` canvases until it is stable, at most `loops` times. Every `chunk` iterations it
   is stable if its best tokens did not change and every cell that is not given has at least
   `confidence`. order, given: (rows, L); state (rows, n, D) in and out; x, source like state; out:
   logits (rows, n), taken (rows,). */
void remask_settle(const struct network *net, const struct layout *b, int rows, int loops, int chunk,
                   float confidence, const unsigned char *order, const unsigned char *given, const float *x,
                   const float *source, float *state, float *logits, int *taken, float *scratch, int *best) {
    const int cells = b->cells, tokens = b->tokens, n = cells * tokens, size = n * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int row = 0; row < rows; row++) {
        for (int c = 0; c < cells; c++) best[c] = -1;
        for (int done = 0, leave = 0; done < loops && !leave;) {
            const int now = loops - done < chunk ? loops - done : chunk;
            for (int k = 0; k < now; k++) advance(net, b, order, x, source, state, state, w.scale, &w);
            taken[row] = done += now;
            read_out(net, state, n, logits);
            leave = 1;
            for (int c = 0; c < cells; c++) {
                const float *l = logits + c * tokens;
                int top = 0;
                float sum = 0;
                for (int t = 1; t < tokens; t++) top = l[t] > l[top] ? t : top;
                for (int t = 0; t < tokens; t++) sum += expf(l[t] - l[top]);
                leave &= top == best[c] && (given[c] || 1.0f >= confidence * sum);
                best[c] = top;
            }
        }
        order += cells, given += cells, x += size, source += size, state += size, logits += n;
    }
}

/* Run `loops` iterations and keep every state: states (rows, loops + 1, n, D), of which the caller fills
   the first of each row, and the normalisation factors scales (rows, loops, n). */
void remask_forward(const struct network *net, const struct layout *b, int rows, int loops,
                    const unsigned char *order, const float *x, const float *source, float *states,
                    float *scales, float *scratch) {
    const int n = b->cells * b->tokens, size = n * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int row = 0; row < rows; row++, order += b->cells, x += size, source += size, states += size)
        for (int k = 0; k < loops; k++, states += size, scales += n)
            advance(net, b, order, x, source, states, states + size, scales, &w);
}

/* The backward pass of remask_forward: d_state (rows, n, D) holds the gradient of the last states; d_x,
   d_source (rows, n, D), dw and db are added to. */
void remask_backward(const struct network *net, const struct layout *b, int rows, int loops,
                     const unsigned char *order, const float *x, const float *source, const float *states,
                     const float *scales, float *d_state, float *d_x, float *d_source, float *const *dw,
                     float *const *db, float *scratch) {
    const int n = b->cells * b->tokens, size = n * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int row = 0; row < rows; row++) {
        for (int k = loops - 1; k >= 0; k--) {
            const float *state = states + k * size;
            hidden_layer(net, b, order, x, source, state, &w); /* recompute all but the states */
            backward(net, b, order, state + size, scales + k * n, d_state, d_x, d_source, dw, db, &w);
        }
        scales += loops * n;
        order += b->cells, x += size, source += size, states += (loops + 1) * size, d_state += size,
            d_x += size, d_source += size;
    }
}

/* Left-to-right decoding with a cache: sent (L, K, V, D) of a row holds every known cell's messages at K
   iterations.

   The prefix: `b` is the layout of the given cells alone, which all see each other; cell (L,) are their
   indices. */
void remask_prefix(const struct network *net, const struct layout *b, int loops, const unsigned char *order,
                   const float *x, const int *cell, float *state, float *sent, float *scratch) {
    const int size = b->tokens * net->width;
    float *end;
    const struct work w = divide(net, b, scratch, &end);
    for (int k = 0; k < loops; k++) {
        advance(net, b, order, x, x, state, state, w.scale, &w);
        for (int c = 0; c < b->cells; c++)
            memcpy(sent + ((long)cell[c] * loops + k) * size, w.sent + c * size, sizeof(float) * size);
    }
}

/* The next cell of `count` rows: its logits (count, V) from the `visible` cells (count, L), and its own
   states. Row i has its cache at sent[row[i]] and states[row[i]], each (L, K, V, D). x and first (V, D)
   are the features and first state of an open cell. */
void remask_append(const struct network *net, const struct layout *whole, int count, const int *row,
                   int loops, const int *cell, const unsigned char *visible, const float *x,
                   const float *first, const float *sent, float *states, float *logits, float *scratch) {
    const int cells = whole->cells, tokens = whole->tokens, relations = whole->relations,
              size = tokens * net->width;
    const long cache = (long)cells * loops * size;
    for (int i = 0; i < count; i++, visible += cells, logits += tokens) {
        int member[16]; /* of this cell; looped_c.py checks the number of relations */
        for (int r = 0; r < relations; r++) member[r] = whole->member[r * cells + cell[i]];
        const struct layout alone = {1, tokens, relations, relations, 1, member};
        const float *source = sent + row[i] * cache;
        float *end, *keep = states + row[i] * cache + (long)cell[i] * loops * size;
        const struct work w = divide(net, &alone, scratch, &end);
        memcpy(end, first, sizeof(float) * size);
        for (int k = 0; k < loops; k++, keep += size) {
            memcpy(keep, end, sizeof(float) * size);
            send(net, net->width, net->hidden, 0, tokens, x, x, end, &w);
            zero(w.pooled, relations * size);
            for (int r = 0; r < relations; r++)
                for (int j = 0; j < cells; j++)
                    if (visible[j] && member[r] >= 0 && whole->member[r * cells + j] == member[r])
                        add(w.pooled + r * size, source + ((long)j * loops + k) * size, size);
            receive(net, net->width, net->hidden, &alone, &w);
            update(net, net->width, net->hidden, tokens, end, end, w.scale, &w);
        }
        read_out(net, end, tokens, logits);
    }
}

/* Store the messages of cells whose tokens are now known: source (count, V, D) to `sent`. */
void remask_say(const struct network *net, const struct layout *whole, int count, const int *row, int loops,
                  const int *cell, const float *source, const float *states, float *sent, float *scratch) {
    const int tokens = whole->tokens, size = tokens * net->width;
    for (int i = 0; i < count; i++, source += size) {
        const long at = ((long)row[i] * whole->cells + cell[i]) * loops * size;
        for (int k = 0; k < loops; k++) {
            for (int j = 0; j < size; j += 8)
                store(scratch + j, load(states + at + (long)k * size + j) + load(source + j));
            product(tokens, scratch, net->width, net->weight[MESSAGE], net->bias[MESSAGE],
                    sent + at + (long)k * size, net->width, RELU);
        }
    }
}

/* Whether this CPU has the instructions; without them torch is faster. */
int remask_fast(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 1;
#endif
}

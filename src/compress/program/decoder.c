enum { CONTEXTS = 5120 };

typedef struct { uint32_t at, code, range; int32_t seen[CONTEXTS][2]; } Decoder;

static uint32_t bit(Decoder *d, uint32_t context) {
    int32_t *p = d->seen[context];
    uint32_t bound, one;
    /* Six bits: letters are those from # to b, and zeros follow them. */
    while (d->range < 1u << 25) {
        d->code = d->code << 6 | (d->at < sizeof data - 1 ? data[d->at] - 35u : 0u);
        d->range <<= 6;
        d->at++;
    }
    bound = (d->range >> 16) * (uint32_t)((p[0] + 2097152) / 64);
    one = d->code < bound;
    if (one) d->range = bound;
    else { d->code -= bound; d->range -= bound; }
    p[1] += p[1] < 254;
    p[0] += ((one ? 2097088 : -2097088) - p[0]) / (p[1] + 1);
    return one;
}

static uint32_t symbol(Decoder *d, uint32_t bits, uint32_t first) {
    uint32_t node = 1, k;
    for (k = 0; k < bits; k++) node = node * 2 + bit(d, first + node);
    return node - (1u << bits);
}

static float number(Decoder *d) {
    union { float f; uint32_t u; } v;
    uint32_t k;
    v.u = 0;
    for (k = 0; k < 4; k++) v.u = v.u << 8 | symbol(d, 8, 4096 + (k << 8));
    return v.f;
}

static void numbers(Decoder *d, float *to, uint32_t n) {
    uint32_t i;
    for (i = 0; i < n; i++) to[i] = number(d);
}

static void forget(Decoder *d) {
    uint32_t i;
    for (i = 0; i < CONTEXTS; i++) d->seen[i][0] = d->seen[i][1] = 0;
}

static uint32_t isnt0(float *to, uint32_t i, uint32_t k) { return i >= k && to[i - k] != 0.0f; }

static void steps(Decoder *d, float *to, uint32_t n, uint32_t bits, float zero, float step, uint32_t row) {
    uint32_t i;
    forget(d);
    for (i = 0; i < n; i++) {
        uint32_t first = (isnt0(to, i, 1) * 2 + isnt0(to, i, row)) << bits;
        to[i] = ((float)symbol(d, bits, first) - zero) * step;
    }
}

static void codes(Decoder *d, float *to, uint32_t n, uint32_t bits, uint32_t back) {
    uint32_t i;
    forget(d);
    for (i = 0; i < n; i++) {
        uint32_t before = back && i >= back ? (uint32_t)to[i - back] : 0;
        to[i] = (float)symbol(d, bits, before << bits);
    }
}

static void looked_up(Decoder *d, float *to, uint32_t n, uint32_t k) {
    float table[256];
    uint32_t i;
    numbers(d, table, k);
    for (i = 0; i < n; i++) to[i] = table[(uint32_t)to[i]];
}

static void stepped(Decoder *d, float *to, uint32_t n, uint32_t group, float zero) {
    uint32_t i;
    float step = 0.0f;
    for (i = 0; i < n; i++) {
        if (i % group == 0) step = number(d);
        to[i] = (to[i] - zero) * step;
    }
}

static void unpruned(Decoder *d, float *to, uint32_t n) {
    uint32_t i;
    for (i = 0; i < n; i++) if (to[i] != 0.0f) to[i] = number(d);
}

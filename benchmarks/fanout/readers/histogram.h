/* A logarithmic histogram of times: 128 steps per doubling, so the error is at most 0.8 %. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { STEP_BITS = 7, STEPS = 1 << STEP_BITS, DOUBLINGS = 64 - STEP_BITS };

struct histogram {
    uint64_t total, most;
    uint64_t at[(DOUBLINGS + 1) * STEPS];
};

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    int shift = value < STEPS ? 0 : 63 - __builtin_clzll(value) - STEP_BITS;
    histogram->at[(uint64_t)shift * STEPS + (value >> shift)]++;
    histogram->total++;
    if (value > histogram->most)
        histogram->most = value;
}

/* The quantile of a share, as the middle of its step. */
static inline double histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total), seen = 0;
    for (uint64_t place = 0; place < (DOUBLINGS + 1) * STEPS; place++) {
        seen += histogram->at[place];
        if (seen > wanted) {
            uint64_t shift = place < 2 * STEPS ? 0 : place / STEPS - 1;
            return ((double)(place - shift * STEPS) + 0.5) * (double)(1ull << shift);
        }
    }
    return (double)histogram->most;
}

#endif

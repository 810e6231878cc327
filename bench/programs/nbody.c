/* The motion of five bodies under their gravity, in double precision. */
#include <math.h>

#include "bench.h"

enum { BODIES = 5 };

static struct body {
    double x[3], v[3], mass;
} bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, 39.47},
    {{4.84, -1.16, -0.10}, {0.606, 2.81, -0.02}, 0.0377},
    {{8.34, 4.12, -0.4}, {-1.01, 1.82, 0.008}, 0.0113},
    {{12.89, -15.11, -0.22}, {1.08, 0.868, -0.010}, 0.00172},
    {{15.37, -25.9, 0.179}, {0.979, 0.594, -0.034}, 0.00203},
};

static void advance(double dt)
{
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        for (int j = i + 1; j < BODIES; j++) {
            struct body *b = &bodies[j];
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = a->x[k] - b->x[k];
                square += d[k] * d[k];
            }
            double pull = dt / (square * sqrt(square));
            for (int k = 0; k < 3; k++) {
                a->v[k] -= d[k] * b->mass * pull;
                b->v[k] += d[k] * a->mass * pull;
            }
        }
    }
    for (int i = 0; i < BODIES; i++) {
        for (int k = 0; k < 3; k++) {
            bodies[i].x[k] += dt * bodies[i].v[k];
        }
    }
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    double sum = 0;
    for (int i = 0; i < size; i++) {
        advance(0.001);
    }
    for (int i = 0; i < BODIES; i++) {
        sum += bodies[i].x[0] + bodies[i].v[1];
    }
    return bench_result_float(sum);
}

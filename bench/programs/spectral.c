/* The spectral norm of an infinite matrix, cut to 100 rows, by the power method. */
#include <math.h>

#include "bench.h"

enum { N = 100 };

static double element(int i, int j)
{
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}

static void multiply(const double *in, double *out, int transposed)
{
    for (int i = 0; i < N; i++) {
        out[i] = 0;
        for (int j = 0; j < N; j++) {
            out[i] += (transposed ? element(j, i) : element(i, j)) * in[j];
        }
    }
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    double u[N], v[N], t[N], uv = 0, vv = 0;
    for (int i = 0; i < size; i++) {
        for (int j = 0; i % 10 == 0 && j < N; j++) {
            u[j] = 1;
        }
        multiply(u, t, 0);
        multiply(t, v, 1);
        multiply(v, t, 0);
        multiply(t, u, 1);
    }
    for (int i = 0; i < N; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    return bench_result_float(sqrt(uv / vv));
}

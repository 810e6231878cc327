/* The product of two matrices of doubles, in blocks; the compiler may not use vectors. */
#include "bench.h"

enum { N = 96, BLOCK = 32 };

static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    double sum = 0;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            a[i][j] = (i * 7 + j) % 13;
            b[i][j] = (i + j * 5) % 11;
        }
    }
    for (int round = 0; round < size; round++) {
        for (int kk = 0; kk < N; kk += BLOCK) {
            for (int i = 0; i < N; i++) {
                for (int j = 0; j < N; j++) {
                    double s = c[i][j];
                    for (int k = kk; k < kk + BLOCK; k++) {
                        s += a[i][k] * b[k][j];
                    }
                    c[i][j] = s;
                }
            }
        }
        sum += c[round % N][round % 7];
        c[round % N][0] = 0;
    }
    return bench_result_float(sum);
}

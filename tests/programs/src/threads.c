/* 16 threads that meet at barriers, fight over a mutex, hand numbers round through condition
 * variables and count with every atomic width; prints only what must come out the same on each run.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 16, ROUNDS = 2000, LAPS = 50 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int turn, laps_run, destroyed, once_calls;
static uint64_t locked_sum;
static _Atomic uint8_t count8;
static _Atomic uint16_t count16;
static _Atomic uint32_t count32;
static _Atomic uint64_t count64, xored, least = UINT64_MAX, swapped;
static _Thread_local uint64_t own;

static void on_thread_end(void *value)
{
    pthread_mutex_lock(&mutex);
    destroyed += *(int *)value;
    pthread_mutex_unlock(&mutex);
}

static void only_once(void)
{
    once_calls++;
}

static void count_atomically(int me)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t value = (uint64_t)me * ROUNDS + (uint64_t)i + 1;
        uint64_t seen = atomic_load(&least);
        atomic_fetch_add(&count8, 1);
        atomic_fetch_add(&count16, 3);
        atomic_fetch_sub(&count32, 5);
        atomic_fetch_add_explicit(&count64, value, memory_order_relaxed);
        atomic_fetch_xor(&xored, value * 0x9e3779b97f4a7c15u);
        while (value < seen && !atomic_compare_exchange_weak(&least, &seen, value)) {
        }
        own += atomic_exchange(&swapped, value) != 0;
    }
}

static void count_under_lock(int me)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        locked_sum += (uint64_t)(me + i);
        pthread_mutex_unlock(&mutex);
    }
}

/* Each thread waits for its turn, so the baton makes LAPS full rounds. */
static void pass_baton(int me)
{
    for (int lap = 0; lap < LAPS; lap++) {
        pthread_mutex_lock(&mutex);
        while (turn != me) {
            pthread_cond_wait(&turn_changed, &mutex);
        }
        turn = (turn + 1) % THREADS;
        laps_run += me == THREADS - 1;
        pthread_cond_broadcast(&turn_changed);
        pthread_mutex_unlock(&mutex);
    }
}

static void *work(void *argument)
{
    int me = *(int *)argument;
    static const int one = 1;

    pthread_once(&once, only_once);
    pthread_setspecific(key, &one);
    pthread_barrier_wait(&barrier);
    count_atomically(me);
    pthread_barrier_wait(&barrier);
    count_under_lock(me);
    pass_baton(me);
    return (void *)(uintptr_t)own;
}

int main(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];
    uint64_t exchanges = 0;

    pthread_key_create(&key, on_thread_end);
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, work, &numbers[i])) {
            perror("pthread_create");
            return EXIT_FAILURE;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        exchanges += (uintptr_t)result;
    }
    printf("atomics %u %u %u %llu %llx least %llu exchanges %llu\n", count8, count16, count32,
           (unsigned long long)count64, (unsigned long long)xored, (unsigned long long)least,
           (unsigned long long)exchanges);
    printf("locked %llu laps %d destroyed %d once %d\n", (unsigned long long)locked_sum, laps_run,
           destroyed, once_calls);
    return EXIT_SUCCESS;
}

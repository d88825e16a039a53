#!/bin/sh
# A timer of a thread's CPU time fires at most once per tick of the kernel's clock, and counts the rest as overruns.
#
# Expected: timer_create on CLOCK_THREAD_CPUTIME_ID with an interval of 1 ms gives a signal for each millisecond of CPU time.
# Seen with Linux 6.18, CONFIG_HZ=250: about 250 signals in a second of CPU time, and si_overrun of them sums up to the other 750. So
# a profiler that counts signals reports a quarter of the time. With CONFIG_HZ=1000 this would not show.
# Needs a C compiler (cc).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
uname -sr
cat > ticks.c <<'EOF'
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <time.h>

static volatile sig_atomic_t signals, overruns;

static void tick(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    signals++;
    overruns += info->si_overrun;
}

int main(void) {
    struct sigaction action = { .sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART };
    sigaction(SIGRTMIN, &action, 0);
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
    timer_t timer;
    timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer);
    struct itimerspec every = { { 0, 1000000 }, { 0, 1000000 } };
    timer_settime(timer, 0, &every, 0);
    struct timespec now = { 0, 0 };
    while (now.tv_sec < 1)
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    printf("%d %d\n", (int)signals, (int)(signals + overruns));
    return 0;
}
EOF
cc -O1 -o ticks ticks.c
read -r signals intervals <<EOF
$(./ticks)
EOF
echo "$signals signals for $intervals intervals of 1 ms"
[ "$signals" -lt 400 ] && [ "$intervals" -gt 850 ] && [ "$intervals" -lt 1100 ]

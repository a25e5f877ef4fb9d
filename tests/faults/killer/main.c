/* tests/faults/killer/main.c -- kills a running program at a named point of its code.
 *
 *     fault-killer PID ADDRESS...
 *     fault-killer --start OFFSET... -- PROGRAM ARGUMENT...
 *
 * The second form starts the program itself, for points that are passed before anybody could come; an offset is
 * an address as its file has it.
 *
 * Puts a breakpoint at the first address (in the memory of PID), says "armed", and when any thread
 * comes there, moves it to the next one; at the last the program is killed with SIGKILL before it has
 * done anything of what stands there.  The program itself knows nothing of it and is the one that is
 * shipped.  Exit 0: killed there; 1: it ended before; 2: it cannot be traced here.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
int main(void)
{
    fputs("fault-killer: this machine's breakpoints are not known here\n", stderr);
    return 2;
}
#else

enum { POINTS_MAX = 64, BREAKPOINT = 0xCC };

static pid_t pid;
static int memory; /* of the program: written through the tracer's right, also where it may not */
static uint64_t point[POINTS_MAX];
static int points, at;
static uint8_t covered; /* the byte that stands where the breakpoint is */

static int give_up(const char *what)
{
    fprintf(stderr, "fault-killer: %s: %s; it takes root, or kernel.yama.ptrace_scope=0\n", what,
            strerror(errno));
    return 2;
}

static bool put_byte(uint64_t address, uint8_t byte)
{
    return pwrite(memory, &byte, 1, (off_t)address) == 1;
}

static bool arm(void)
{
    return pread(memory, &covered, 1, (off_t)point[at]) == 1 && put_byte(point[at], BREAKPOINT);
}

/* Every thread that there is; those that it makes later are traced from their start. */
static bool seize_all(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *d = opendir(path);
    bool ok = d != NULL;
    for (struct dirent *e; ok && (e = readdir(d));) {
        pid_t tid = (pid_t)strtol(e->d_name, NULL, 10);
        ok = tid <= 0 || ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACECLONE) == 0;
    }
    if (d)
        closedir(d);
    return ok;
}

/* The thread stands one byte behind the point that it came to; which one: -1, none of them. */
static int reached(pid_t tid, struct user_regs_struct *regs)
{
    if (ptrace(PTRACE_GETREGS, tid, NULL, regs) != 0)
        return -1;
    for (int i = at; i >= 0; i--) /* a way may come to a point twice */
        if (regs->rip == point[i] + 1)
            return i;
    return -1;
}

/* Back to where it was, which is whole again. */
static bool step_back(pid_t tid, struct user_regs_struct *regs)
{
    regs->rip--;
    return ptrace(PTRACE_SETREGS, tid, NULL, regs) == 0;
}

/* A thread has stopped; the signal that it is to go on with. */
static int stopped(pid_t tid, int status)
{
    struct user_regs_struct regs;
    int number = WSTOPSIG(status);
    if (status >> 16 || number == SIGSTOP)
        return 0; /* an event of tracing */
    int i = number == SIGTRAP ? reached(tid, &regs) : -1;
    if (i < 0)
        return number == SIGTRAP ? 0 : number;
    if (i == at && at + 1 == points) {
        kill(pid, SIGKILL);
        return 0;
    }
    bool ok = step_back(tid, &regs);
    if (i == at) { /* a second thread may have come to the same one: it only goes on */
        ok = ok && put_byte(point[at], covered);
        at++;
        ok = ok && arm();
    }
    if (!ok)
        kill(pid, SIGKILL);
    return 0;
}

static int watch(void)
{
    int status;
    for (pid_t tid; (tid = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFSTOPPED(status))
            ptrace(PTRACE_CONT, tid, NULL, (void *)(intptr_t)stopped(tid, status));
        else if (tid == pid)
            return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && at + 1 == points ? 0 : 1;
    }
    return 1;
}

/* Stopped before its first instruction. */
static bool start(char **argv)
{
    int status;
    pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
            execv(argv[0], argv);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
           ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) == 0;
}

/* Where its file begins in memory: the first thing that is mapped of it. */
static uint64_t base_of(const char *program)
{
    char path[64], line[4096], real[4096];
    uint64_t base = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = realpath(program, real) ? fopen(path, "r") : NULL;
    while (maps && !base && fgets(line, sizeof line, maps))
        if (strstr(line, real))
            base = strtoull(line, NULL, 16);
    if (maps)
        fclose(maps);
    return base;
}

static bool open_memory(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    memory = open(path, O_RDWR | O_CLOEXEC);
    return memory >= 0;
}

static int run_started(char **argv)
{
    uint64_t base = start(argv) ? base_of(argv[0]) : 0;
    if (!base)
        return give_up("the program cannot be started and traced");
    for (int i = 0; i < points; i++)
        point[i] += base;
    if (!open_memory() || !arm() || ptrace(PTRACE_CONT, pid, NULL, NULL) != 0)
        return give_up("the breakpoint cannot be written");
    return watch();
}

static int run_found(void)
{
    if (!seize_all())
        return give_up("the program cannot be traced");
    if (!open_memory() || !arm())
        return give_up("the breakpoint cannot be written");
    puts("armed");
    fflush(stdout);
    return watch();
}

int main(int argc, char **argv)
{
    bool starts = argc > 1 && strcmp(argv[1], "--start") == 0;
    int i = 2;
    for (; i < argc && points < POINTS_MAX && strcmp(argv[i], "--") != 0; i++)
        point[points++] = strtoull(argv[i], NULL, 0);
    if (points == 0 || (starts ? i + 1 >= argc : i < argc))
        return fprintf(stderr, "usage: fault-killer PID ADDRESS...\n"
                               "       fault-killer --start OFFSET... -- PROGRAM ARGUMENT...\n"),
               2;
    if (starts)
        return run_started(argv + i + 1);
    pid = (pid_t)strtol(argv[1], NULL, 10);
    return run_found();
}
#endif

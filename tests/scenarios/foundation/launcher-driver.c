/* SPDX-License-Identifier: Apache-2.0 */

/* A daemon that is nothing but launcher and a core with one errand, for launcher.py. */

#include "daemon/common/frame.h"
#include "daemon/common/secret.h"
#include "daemon/launcher/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

enum {
        AS_EXPECTED = 7, /* exit code of a core that found everything so */
};

static void expect(bool holds, const char *what) {
        if (holds)
                return;
        fprintf(stderr, "not so: %s (%s)\n", what, strerror(errno));
        _exit(EXIT_FAILURE);
}
#define EXPECT(holds) expect(holds, #holds)

typedef struct Job {
        int in; /* what the worker writes */
        int out;
        int pidfd;
} Job;

static Job spawn(int launcher_fd, LauncherWorker worker, int foreign_fd) {
        int to[2], from[2];
        Job job = {-1, -1, -1};

        EXPECT(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0);
        EXPECT(launcher_spawn(launcher_fd, worker, (int[]){to[0], from[1], foreign_fd}, foreign_fd >= 0 ? 3 : 2, &job.pidfd) == 0);
        EXPECT(job.pidfd >= 0);
        (void) close(to[0]);
        (void) close(from[1]);
        job.in = from[0];
        job.out = to[1];
        return job;
}

static bool ended_within(const Job *job, int ms) {
        return poll(&(struct pollfd){.fd = job->pidfd, .events = POLLIN}, 1, ms) == 1;
}

/* A whole derivation: the worker reads the memfd and answers with a key. */
static void derive_a_key(int launcher_fd) {
        const FrameKdfRequest request = {.version = 1, .mode = FRAME_KDF_PASSPHRASE, .opslimit = 1, .memlimit = 1 << 20};
        cleanup(secret_freep) Secret *phrase = NULL;
        cleanup(frame_buffer_done) FrameBuffer out = {0}, in = {0};
        const uint8_t *payload;
        int memfd = -1;
        uint32_t type;
        size_t n;
        Job job;

        EXPECT(secret_new(&phrase, 6) == 0 && secret_to_memfd(&memfd, phrase, 6) == 0);
        job = spawn(launcher_fd, LAUNCHER_KDF, memfd);
        EXPECT(frame_put_kdf_request(&out, &request) == 0 && frame_write_all(&out, job.out) == 0);
        EXPECT(frame_read(&in, job.in) > 0);
        EXPECT(frame_next(&in, &type, &payload, &n) == 0 && type == FRAME_KDF_KEY);
        EXPECT(frame_read(&in, job.in) == 0);
        EXPECT(ended_within(&job, 5000));
        EXPECT(launcher_kill(job.pidfd) == 0); /* nothing is left to kill, and that is no failure */
        (void) close(memfd);
}

static void kill_one_that_hangs(int launcher_fd) {
        Job job = spawn(launcher_fd, LAUNCHER_KDF, -1);

        EXPECT(!ended_within(&job, 100));
        EXPECT(launcher_kill(job.pidfd) == 0);
        EXPECT(ended_within(&job, 5000));
        EXPECT(read(job.in, &(char){0}, 1) == 0); /* the core learns it by the end of its frames, too */
}

static void be_refused(int launcher_fd) {
        Job jobs[LAUNCHER_RUNNING_MAX];
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        uint64_t nonsense = 1;
        struct {
                uint32_t magic;
                int32_t result;
        } answer;

        /* only the kdf worker was put beside this program */
        EXPECT(launcher_spawn(launcher_fd, LAUNCHER_GATE, (int[]){null, null}, 2, NULL) == -ENOENT);

        for (size_t i = 0; i < LAUNCHER_RUNNING_MAX; i++)
                jobs[i] = spawn(launcher_fd, LAUNCHER_KDF, -1);
        EXPECT(launcher_spawn(launcher_fd, LAUNCHER_KDF, (int[]){null, null}, 2, NULL) == -EAGAIN);
        for (size_t i = 0; i < LAUNCHER_RUNNING_MAX; i++)
                EXPECT(launcher_kill(jobs[i].pidfd) == 0 && ended_within(&jobs[i], 5000));

        /* no request at all: answered, and the launcher goes on */
        EXPECT(write(launcher_fd, &nonsense, sizeof(nonsense)) == sizeof(nonsense));
        EXPECT(read(launcher_fd, &answer, sizeof(answer)) == sizeof(answer) && answer.result == -EINVAL);
        EXPECT(write(launcher_fd, &nonsense, 1) == 1);
        EXPECT(read(launcher_fd, &answer, sizeof(answer)) == sizeof(answer) && answer.result == -EINVAL);
}

/* A first core, and one after its lock. */
static int work(void *userdata, int launcher_fd) {
        int state_dir_fd = *(int *) userdata;
        bool first = mkdirat(state_dir_fd, "locked-once", 0700) == 0;

        EXPECT(getenv("PATH") == NULL);
        derive_a_key(launcher_fd);
        kill_one_that_hangs(launcher_fd);
        be_refused(launcher_fd);
        (void) spawn(launcher_fd, LAUNCHER_KDF, -1); /* hangs until its core is gone */
        return first ? LAUNCHER_CORE_RELOCK : AS_EXPECTED;
}

static int hang(void *userdata, int launcher_fd) {
        (void) userdata;

        (void) spawn(launcher_fd, LAUNCHER_KDF, -1);
        (void) !write(STDOUT_FILENO, "ready\n", 6);
        while (pause() < 0)
                ;
        return 0;
}

static int hang_on(void *userdata, int launcher_fd) {
        (void) signal(SIGTERM, SIG_IGN);
        return hang(userdata, launcher_fd);
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                int (*core)(void *userdata, int launcher_fd);
        } errands[] = {{"work", work}, {"hang", hang}, {"hang-on", hang_on}};
        int state_dir_fd = argc == 3 ? open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        LauncherConfig config = {.state_dir_fd = state_dir_fd, .socket_dir_fd = -1};

        for (size_t i = 0; state_dir_fd >= 0 && i < N_ELEMENTS(errands); i++)
                if (strcmp(errands[i].name, argv[1]) == 0) {
                        int r = launcher_run(&config, errands[i].core, &state_dir_fd);

                        if (r < 0)
                                fprintf(stderr, "launcher: %s\n", strerror(-r));
                        return r < 0 ? 99 : r;
                }
        return 2;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who has given the passphrase lately, and who has given a wrong one. A session is a user and a kernel session
 * (getsid(2)): a terminal, or a script and what it starts. Answers to wrong tries come later with each one of a session, and
 * until then the process that tried waits. No other does: no program of the same user can keep the patient out. It can be
 * another process with each try, and gains no more by that than Argon2's time.
 */

#include "server.h"

enum {
        GUARD_LIFE_MS = 15 * 60 * 1000, /* how long a passphrase counts */
        GUARD_SESSIONS_MAX = 64,        /* the oldest goes */
        GUARD_DELAY_MIN_MS = 500,       /* after the first wrong try; doubles with each */
        GUARD_DELAY_MAX_MS = 60 * 1000,
        GUARD_PEERS_MAX = 64,           /* sessions whose wrong tries are remembered */
        GUARD_CODES_MAX = 16,           /* connections that gave a code and have not used it */
        GUARD_CODE_LIFE_MS = 5 * 60 * 1000,
        GUARD_CODE_DELAY_MAX_MS = 60 * 60 * 1000,
};

typedef struct GuardSession {
        Peer peer;
        uint64_t until_ms;
        int leader_fd; /* pidfd of the session's leader; -1: it had ended before. When it ends the session's number may come again */
} GuardSession;

typedef struct GuardPeer {
        uid_t uid;
        pid_t session; /* -1: all of whom it is not known */
        pid_t pid;     /* that tried last */
        unsigned n_wrong;
        uint64_t not_before_ms;
} GuardPeer;

typedef struct GuardCode {
        uint64_t connection;
        uint64_t until_ms;
} GuardCode;

typedef struct Guard { /* zero it to begin; all times are monotonic ms */
        GuardSession sessions[GUARD_SESSIONS_MAX];
        size_t n_sessions;
        GuardPeer peers[GUARD_PEERS_MAX];
        size_t n_peers;
        GuardCode codes[GUARD_CODES_MAX];
        GuardPeer code_tries; /* of everybody */
} Guard;

/** guard_passed() - this peer gave the right secret now */
void guard_passed(Guard *guard, const Peer *peer, uint64_t now_ms);
bool guard_permits(const Guard *guard, const Peer *peer, uint64_t now_ms);
/** guard_failed() - a wrong secret. Return: ms that the next try has to wait */
uint64_t guard_failed(Guard *guard, const Peer *peer, uint64_t now_ms);
/** guard_must_wait() - ms until this process may try again; 0: now */
uint64_t guard_must_wait(const Guard *guard, const Peer *peer, uint64_t now_ms);

/*
 * Codes. One lets one widening call pass, on the connection that gave it. Six digits can be guessed, so wrong ones slow down everybody:
 * with an hour between tries in the end, three codes of a million that count give a guesser a chance of 1 in 40 a year.
 */

/** guard_code_passed() - this connection gave a right code, or the recovery code */
void guard_code_passed(Guard *guard, const Peer *peer, uint64_t now_ms);
/** guard_code_take() - whether this connection has one to use, which is used then */
bool guard_code_take(Guard *guard, const Peer *peer, uint64_t now_ms);
/** guard_code_failed() - Return: ms that the next one has to wait */
uint64_t guard_code_failed(Guard *guard, uint64_t now_ms);
uint64_t guard_code_must_wait(const Guard *guard, uint64_t now_ms);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A key with which this machine opens the wallet by itself: a systemd credential, sealed by systemd-creds(1). */

#include "cli.h"

/** credential_add() - make it, have it sealed into the new file @out, add it as @label (NULL: "systemd credential"). An exit code */
must_check int credential_add(Cli *cli, const char *label, const char *out);

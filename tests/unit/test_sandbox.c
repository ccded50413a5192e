/* Each case runs in a process of its own, since nobody leaves a sandbox again. */
#include "core/sandbox.h"

#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char inside[64];
static char outside[64];

static struct config settings(char *mode)
{
	return (struct config){.sandbox = mode, .listen = "fd:3", .functions_dir = inside, .allow_root = true};
}

/* What `attempt` gave in a child that has entered: 0, or errno. */
static int in_sandbox(const struct config *cfg, int (*attempt)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct err e = ERR_INIT;

		if (!sandbox_harden(cfg, &e) || !sandbox_enter(cfg, &e)) {
			(void)fprintf(stderr, "%s\n", e.message);
			_exit(200);
		}
		_exit(attempt());
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int try_open(const char *folder, const char *name, int flags)
{
	char path[160];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, flags, 0600);
	if (fd < 0)
		return errno;
	(void)close(fd);
	return 0;
}

static int write_inside(void)
{
	return try_open(inside, "new", O_CREAT | O_WRONLY);
}

static int write_outside(void)
{
	return try_open(outside, "new", O_CREAT | O_WRONLY);
}

static int read_outside(void)
{
	return try_open(outside, "there", O_RDONLY);
}

static int move_inside(void)
{
	char from[128];
	char to[128];

	(void)snprintf(from, sizeof from, "%s/new", inside);
	(void)snprintf(to, sizeof to, "%s/sub/moved", inside);
	return rename(from, to) == 0 ? 0 : errno;
}

static int read_system(void)
{
	return try_open("/etc", "passwd", O_RDONLY);
}

static int write_system(void)
{
	return try_open("/etc", "functions-admin-test", O_CREAT | O_WRONLY);
}

static int execute(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int mount_something(void)
{
	return mount("none", inside, "tmpfs", 0, NULL) == 0 ? 0 : errno;
}

static int core_size(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max == 0 ? 0 : 1;
}

static void files_outside_are_out_of_reach(void **state)
{
	const struct config on = settings("on");

	(void)state;
	assert_int_equal(in_sandbox(&on, write_inside), 0);
	assert_int_equal(in_sandbox(&on, move_inside), 0);
	assert_int_equal(in_sandbox(&on, read_system), 0);
	assert_int_equal(in_sandbox(&on, write_outside), EACCES);
	assert_int_equal(in_sandbox(&on, read_outside), EACCES);
	assert_int_equal(in_sandbox(&on, write_system), EACCES);
}

static void more_paths_can_be_allowed(void **state)
{
	struct config on = settings("on");
	char list[160];

	(void)state;
	(void)snprintf(list, sizeof list, "/nowhere, %s", outside);
	on.sandbox_paths = list;
	assert_int_equal(in_sandbox(&on, read_outside), 0);
}

static void nothing_is_executed_or_mounted(void **state)
{
	char *modes[] = {"on", "auto"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct config cfg = settings(modes[i]);

		assert_int_equal(in_sandbox(&cfg, execute), EPERM);
		assert_int_equal(in_sandbox(&cfg, mount_something), EPERM);
	}
}

static void automatic_leaves_files_and_off_leaves_all(void **state)
{
	const struct config automatic = settings("auto");
	const struct config off = settings("off");

	(void)state;
	assert_int_equal(in_sandbox(&automatic, read_outside), 0);
	assert_int_equal(in_sandbox(&off, read_outside), 0);
	assert_int_equal(in_sandbox(&off, execute), 0);
	assert_int_equal(in_sandbox(&off, core_size), 0);
}

static void root_and_key_commands_are_refused(void **state)
{
	struct config cfg = settings("on");
	struct err e = ERR_INIT;

	(void)state;
	cfg.secrets_key_command = "cat key";
	assert_false(sandbox_enter(&cfg, &e));
	assert_int_equal(e.kind, ERR_CONFIG);
	cfg.allow_root = false;
	if (geteuid() == 0) {
		assert_false(sandbox_harden(&cfg, &e));
		assert_string_equal(e.message, "functions-admin does not run as root");
	}
}

static int make_folders(void **state)
{
	char path[128];
	int fd;

	(void)state;
	(void)snprintf(inside, sizeof inside, "/tmp/fa-sandbox-XXXXXX");
	(void)snprintf(outside, sizeof outside, "/tmp/fa-sandbox-XXXXXX");
	if (mkdtemp(inside) == NULL || mkdtemp(outside) == NULL)
		return 1;
	(void)snprintf(path, sizeof path, "%s/sub", inside);
	if (mkdir(path, 0700) != 0)
		return 1;
	(void)snprintf(path, sizeof path, "%s/there", outside);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	return fd >= 0 && close(fd) == 0 ? 0 : 1;
}

static int remove_folders(void **state)
{
	const char *const names[] = {"sub/moved", "sub", "new", "there", ""};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", inside, names[i]);
		(void)remove(path);
		(void)snprintf(path, sizeof path, "%s/%s", outside, names[i]);
		(void)remove(path);
	}
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_outside_are_out_of_reach),
		cmocka_unit_test(more_paths_can_be_allowed),
		cmocka_unit_test(nothing_is_executed_or_mounted),
		cmocka_unit_test(automatic_leaves_files_and_off_leaves_all),
		cmocka_unit_test(root_and_key_commands_are_refused),
	};

	return cmocka_run_group_tests(tests, make_folders, remove_folders);
}

/*
 * The floor for reads: what libfcgi and nginx cost when nothing is looked up. Answers every request below a path with
 * the bytes of one file, from memory.
 *
 * usage: floor SOCKET WORKERS [/PATH=TYPE=FILE]...   (FILE "-": an empty 304)
 */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct answer {
	const char *path;
	char *head;
	char *body;
	int head_len;
	int body_len;
} answers[16];
static int answer_count;
static int listening;

static void load(char *spec)
{
	struct answer *a = &answers[answer_count++];
	char *type = strchr(spec, '=');
	char *file = type != NULL ? strrchr(type + 1, '=') : NULL;
	char head[512];
	FILE *in;

	if (file == NULL)
		exit(2);
	*type++ = '\0';
	*file++ = '\0';
	a->path = spec;
	a->body = "";
	if (strcmp(file, "-") == 0) {
		a->head_len = snprintf(head, sizeof head, "Status: 304 Not Modified\r\nETag: %s\r\n\r\n", type);
	} else {
		struct stat st;

		in = fopen(file, "rb");
		if (in == NULL || fstat(fileno(in), &st) != 0 || (a->body = malloc((size_t)st.st_size + 1)) == NULL ||
		    fread(a->body, 1, (size_t)st.st_size, in) != (size_t)st.st_size)
			exit(2);
		(void)fclose(in);
		a->body_len = (int)st.st_size;
		a->head_len =
			snprintf(head, sizeof head, "Status: 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
				 type, a->body_len);
	}
	a->head = strdup(head);
}

static void *work(void *ctx)
{
	FCGX_Request r;

	(void)ctx;
	if (FCGX_InitRequest(&r, listening, 0) != 0)
		exit(1);
	while (FCGX_Accept_r(&r) == 0) {
		const char *uri = FCGX_GetParam("REQUEST_URI", r.envp);

		for (int i = 0; i < answer_count; i++)
			if (uri != NULL && strncmp(uri, answers[i].path, strlen(answers[i].path)) == 0) {
				(void)FCGX_PutStr(answers[i].head, answers[i].head_len, r.out);
				(void)FCGX_PutStr(answers[i].body, answers[i].body_len, r.out);
				break;
			}
		FCGX_Finish_r(&r);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int workers = argc > 2 ? atoi(argv[2]) : 0;

	for (int i = 3; i < argc && i < 19; i++)
		load(argv[i]);
	if (workers < 1 || FCGX_Init() != 0 || (listening = FCGX_OpenSocket(argv[1], 1024)) < 0)
		return 2;
	for (int i = 1; i < workers; i++)
		if (pthread_create(&thread, NULL, work, NULL) != 0)
			return 1;
	(void)work(NULL);
	return 1;
}

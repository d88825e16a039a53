#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints its arguments and a variable, reads a file and writes another, and exits with the number of arguments. */
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    printf("argument %d: %s\n", i, argv[i]);
  const char *name = getenv("NAME");
  printf("name: %s\n", name ? name : "none");
  FILE *in = fopen("/data/in.txt", "r");
  if (!in) {
    fprintf(stderr, "no file: %s\n", strerror(errno));
    return 70;
  }
  char line[100];
  FILE *out = fopen("/data/out.txt", "w");
  while (out && fgets(line, sizeof line, in))
    fprintf(out, "> %s", line);
  if (!out || fclose(out))
    return 71;
  return argc - 1;
}

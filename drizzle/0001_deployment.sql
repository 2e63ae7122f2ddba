CREATE TABLE `deployment` (
	`id` integer PRIMARY KEY NOT NULL,
	`calls` integer NOT NULL
) STRICT;

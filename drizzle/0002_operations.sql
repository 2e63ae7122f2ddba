CREATE TABLE `actions` (
	`id` integer PRIMARY KEY NOT NULL,
	`at` integer NOT NULL,
	`by` text NOT NULL,
	`action` text NOT NULL,
	`target` text NOT NULL,
	`count` integer NOT NULL
) STRICT;
--> statement-breakpoint
CREATE TABLE `backsteps` (
	`id` integer PRIMARY KEY NOT NULL
) STRICT;
--> statement-breakpoint
-- Where the wall clock went back by more than a second, and each further step back until it is
-- there again: what backsteps.ts records from now on.
INSERT INTO `backsteps` (`id`)
SELECT `id` FROM (
	SELECT `id`, `created_at`,
		lag(`created_at`) OVER (ORDER BY `id`) AS `previous`,
		max(`created_at`) OVER (ORDER BY `id` ROWS UNBOUNDED PRECEDING) AS `newest`
	FROM `transactions`
) WHERE `created_at` < `newest` - 1000 AND `created_at` < `previous`;
--> statement-breakpoint
CREATE TABLE `clock` (
	`id` integer PRIMARY KEY NOT NULL,
	`boot_id` text,
	`since_boot` integer,
	`wall_ahead` integer NOT NULL
) STRICT;
--> statement-breakpoint
-- Those that are identical become one row. The columns are in the order of a new database.
CREATE TABLE `new_conflicts` (
	`id` integer PRIMARY KEY NOT NULL,
	`stored_id` integer NOT NULL,
	`received_at` integer NOT NULL,
	`last_received_at` integer NOT NULL,
	`count` integer NOT NULL,
	`differences` text NOT NULL,
	FOREIGN KEY (`stored_id`) REFERENCES `transactions`(`id`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
INSERT INTO `new_conflicts`
SELECT min(`id`), `stored_id`, min(`received_at`), max(`received_at`), count(*), `differences`
FROM `conflicts` GROUP BY `stored_id`, `differences`;
--> statement-breakpoint
DROP TABLE `conflicts`;
--> statement-breakpoint
ALTER TABLE `new_conflicts` RENAME TO `conflicts`;
--> statement-breakpoint
CREATE INDEX `conflicts_stored_id` ON `conflicts` (`stored_id`);
--> statement-breakpoint
-- A directory whose attempts can only be calls has had a target, also where it was forgotten since.
INSERT INTO `deployment` (`id`, `calls`)
SELECT 1, 1 WHERE EXISTS (
	SELECT 1 FROM `attempts` WHERE `outcome` <> 'done' OR `http_status` IS NOT NULL
)
ON CONFLICT (`id`) DO UPDATE SET `calls` = 1;
--> statement-breakpoint
CREATE TABLE `gaps` (
	`id` integer PRIMARY KEY NOT NULL,
	`count` integer NOT NULL
) STRICT;
--> statement-breakpoint
INSERT INTO `gaps` SELECT 1, coalesce(max(`id`), 0) - count(*) FROM `transactions`;
--> statement-breakpoint
-- Whoever deletes a transaction, the number of the others stays known. Where it was the one with the
-- highest key, that falls to the one before it, and the gap between them no longer counts.
CREATE TRIGGER `transactions_deleted` AFTER DELETE ON `transactions` BEGIN
	UPDATE `gaps` SET `count` = `count` + 1 +
		min(coalesce((SELECT max(`id`) FROM `transactions`), 0) - old.`id`, 0);
END;
--> statement-breakpoint
ALTER TABLE `jobs` ADD `retried_at` integer;
--> statement-breakpoint
CREATE INDEX `jobs_retried` ON `jobs` (`retried_at`) WHERE "retried_at" IS NOT NULL;
--> statement-breakpoint
ALTER TABLE `transactions` ADD `handled_at` integer;
--> statement-breakpoint
ALTER TABLE `transactions` ADD `handled_note` text;

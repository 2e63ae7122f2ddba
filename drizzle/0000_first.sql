CREATE TABLE `attempts` (
	`id` integer NOT NULL,
	`attempt` integer NOT NULL,
	`started_at` integer NOT NULL,
	`finished_at` integer,
	`outcome` text,
	`http_status` integer,
	`detail` text,
	PRIMARY KEY(`id`, `attempt`),
	FOREIGN KEY (`id`) REFERENCES `transactions`(`id`) ON UPDATE no action ON DELETE no action
) STRICT, WITHOUT ROWID;
--> statement-breakpoint
CREATE TABLE `conflicts` (
	`id` integer PRIMARY KEY NOT NULL,
	`stored_id` integer NOT NULL,
	`received_at` integer NOT NULL,
	`differences` text NOT NULL,
	FOREIGN KEY (`stored_id`) REFERENCES `transactions`(`id`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
CREATE INDEX `conflicts_stored_id` ON `conflicts` (`stored_id`);--> statement-breakpoint
CREATE TABLE `jobs` (
	`id` integer PRIMARY KEY NOT NULL,
	`run_at` integer NOT NULL,
	`claim` integer,
	`attempt_started_at` integer,
	`tries` integer NOT NULL,
	`changed_at` integer NOT NULL,
	FOREIGN KEY (`id`) REFERENCES `transactions`(`id`) ON UPDATE no action ON DELETE no action
) STRICT;
--> statement-breakpoint
CREATE INDEX `jobs_due` ON `jobs` (`run_at`) WHERE "claim" IS NULL;--> statement-breakpoint
CREATE TABLE `transactions` (
	`id` integer PRIMARY KEY NOT NULL,
	`transaction_id` text NOT NULL,
	`source_account` text NOT NULL,
	`destination_account` text NOT NULL,
	`amount` integer NOT NULL,
	`currency` text NOT NULL,
	`extra` text,
	`status` text NOT NULL,
	`attempts` integer NOT NULL,
	`created_at` integer NOT NULL,
	`processing_started_at` integer,
	`processed_at` integer,
	`error` text
) STRICT;
--> statement-breakpoint
CREATE UNIQUE INDEX `transactions_transaction_id_unique` ON `transactions` (`transaction_id`);--> statement-breakpoint
CREATE INDEX `transactions_failed` ON `transactions` (`id`) WHERE "status" = 'FAILED';
# What Snowflake's script, the producers and operators need to know.

output "bucket" {
  description = "The lake: `export MEDALLION_LAKE=s3://<bucket>`."
  value       = aws_s3_bucket.retail_bucket.bucket
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.retail_bucket.arn
}

output "snowflake_variables" {
  description = "For `snow sql -f infra/snowflake.sql -D name=value`, as far as AWS knows them."
  value = {
    bucket           = aws_s3_bucket.retail_bucket.bucket
    storage_role_arn = aws_iam_role.snowflake_integration_role.arn
    bronze_topic_arn = aws_sns_topic.s3_notifications.arn
    error_topic_arn  = aws_sns_topic.pipe_errors.arn
    error_role_arn   = aws_iam_role.snowflake_errors.arn
  }
}

output "snowflake_role_arn" {
  description = "STORAGE_AWS_ROLE_ARN of the storage integration."
  value       = aws_iam_role.snowflake_integration_role.arn
}

output "snowflake_is_trusted" {
  description = "False after the first apply, true after the second."
  value       = var.snowflake_external_id != ""
}

output "s3_notifications_topic_arn" {
  description = "The topic that announces new bronze objects."
  value       = aws_sns_topic.s3_notifications.arn
}

output "snowpipe_queue_arn" {
  description = "ARN of the queue that hears the topic."
  value       = aws_sqs_queue.snowpipe_queue.arn
}

output "snowpipe_queue_url" {
  description = "URL of the queue that hears the topic."
  value       = aws_sqs_queue.snowpipe_queue.url
}

output "dead_letter_queue_url" {
  description = "URL of the queue for notices that nobody could handle."
  value       = aws_sqs_queue.dead_letters.url
}

output "pipe_errors_topic_arn" {
  description = "The topic that hears of files that Snowpipe could not load."
  value       = aws_sns_topic.pipe_errors.arn
}

output "alerts_topic_arn" {
  description = "The topic that alarms go to."
  value       = aws_sns_topic.alerts.arn
}

output "glue_job_name" {
  description = "`aws glue start-job-run --job-name <this>`."
  value       = aws_glue_job.glue_cleaner.name
}

output "glue_role_arn" {
  description = "The role of the job."
  value       = aws_iam_role.glue_cleaner.arn
}

output "glue_log_groups" {
  description = "Where the job logs."
  value       = local.log_groups
}

output "producer_policy_arn" {
  description = "Attach it to the role of whoever sends events."
  value       = aws_iam_policy.producer.arn
}

output "firehose_stream_arn" {
  description = "The stream for single events; null without it."
  value       = one([for stream in aws_kinesis_firehose_delivery_stream.purchases : stream.arn])
}

output "athena_workgroup" {
  description = "The workgroup for queries of bronze."
  value       = aws_athena_workgroup.retail.name
}

output "catalog_database" {
  description = "The database of bronze in the Data Catalog."
  value       = aws_glue_catalog_database.bronze.name
}

output "kms_key_arn" {
  description = "The key of topics, queues and logs; of the bucket too, when that has aws:kms."
  value       = aws_kms_key.retail.arn
}

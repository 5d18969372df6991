# From the topic to whoever listens: our queue always, Snowpipe's own queue when Snowflake subscribes.

locals {
  # S3 may publish, for our bucket alone; Snowflake may subscribe, once it is known who that is.
  topic_statements = concat(
    [{
      Sid       = "BucketPublishes"
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.s3_notifications.arn
      Condition = {
        ArnEquals    = { "aws:SourceArn" = local.bucket_arn }
        StringEquals = { "aws:SourceAccount" = local.account }
      }
    }],
    [for arn in compact([var.snowflake_subscriber_arn]) : {
      Sid       = "SnowflakeSubscribes"
      Effect    = "Allow"
      Principal = { AWS = arn }
      Action    = "sns:Subscribe"
      Resource  = aws_sns_topic.s3_notifications.arn
    }],
  )
}

resource "aws_sns_topic_policy" "s3_notifications" {
  arn = aws_sns_topic.s3_notifications.arn

  policy = jsonencode({ Version = "2012-10-17", Statement = local.topic_statements })
}

resource "aws_sns_topic_subscription" "snowpipe_queue" {
  topic_arn            = aws_sns_topic.s3_notifications.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.snowpipe_queue.arn
  raw_message_delivery = true
}

resource "aws_sqs_queue_policy" "snowpipe_queue" {
  queue_url = aws_sqs_queue.snowpipe_queue.url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TopicSends"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.snowpipe_queue.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = aws_sns_topic.s3_notifications.arn }
          StringEquals = { "aws:SourceAccount" = local.account }
        }
      },
      {
        Sid       = "DenyPlainHttp"
        Effect    = "Deny", Action = "sqs:*", Principal = "*"
        Resource  = aws_sqs_queue.snowpipe_queue.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# What five readers in a row could not handle; kept as long as SQS keeps anything.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-snowpipe-dead-letters"
  message_retention_seconds = 14 * 24 * 3600
  kms_master_key_id         = aws_kms_key.retail.arn
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.snowpipe_queue.arn]
  })
}

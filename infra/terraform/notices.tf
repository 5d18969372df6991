# From the topic to whoever listens: our queue always, Snowpipe's own queue when Snowflake subscribes.

resource "aws_sns_topic_policy" "s3_notifications" {
  arn    = aws_sns_topic.s3_notifications.arn
  policy = data.aws_iam_policy_document.topic.json
}

# S3 may publish, for our bucket alone; Snowflake may subscribe, once it is known who that is.
data "aws_iam_policy_document" "topic" {
  statement {
    sid       = "BucketPublishes"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.s3_notifications.arn]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.bucket_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  dynamic "statement" {
    for_each = compact([var.snowflake_subscriber_arn])

    content {
      sid       = "SnowflakeSubscribes"
      actions   = ["sns:Subscribe"]
      resources = [aws_sns_topic.s3_notifications.arn]

      principals {
        type        = "AWS"
        identifiers = [statement.value]
      }
    }
  }
}

resource "aws_sns_topic_subscription" "snowpipe_queue" {
  topic_arn            = aws_sns_topic.s3_notifications.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.snowpipe_queue.arn
  raw_message_delivery = true
}

resource "aws_sqs_queue_policy" "snowpipe_queue" {
  queue_url = aws_sqs_queue.snowpipe_queue.url
  policy    = data.aws_iam_policy_document.queue.json
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "TopicSends"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.snowpipe_queue.arn]

    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_sns_topic.s3_notifications.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  statement {
    sid       = "DenyPlainHttp"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.snowpipe_queue.arn]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
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

# What somebody must hear of: one topic, a mail when an address is given.

locals {
  failure_log = "/aws/events/${var.name}-job-failures"

  # Each alarm: a metric of one thing, and from where on it is too much (or too little).
  alarms = merge(
    {
      job-failures = {
        description = "The cleaner failed or ran out of time; ${local.failure_log} says which run, and why."
        namespace   = "AWS/Events", metric = "TriggeredRules", statistic = "Sum"
        dimensions  = { RuleName = aws_cloudwatch_event_rule.job_failures.name }
        period      = 300, periods = 1, comparison = "GreaterThanThreshold", threshold = 0
        missing     = "notBreaching"
      }
      dead-letters = {
        description = "Notices that nobody could handle lie in ${aws_sqs_queue.dead_letters.name}."
        namespace   = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible", statistic = "Maximum"
        dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }
        period      = 300, periods = 1, comparison = "GreaterThanThreshold", threshold = 0
        missing     = "notBreaching"
      }
      no-new-data = {
        description = "Nothing new in bronze/ for ${var.no_data_hours} hours."
        namespace   = "AWS/SNS", metric = "NumberOfMessagesPublished", statistic = "Sum"
        dimensions  = { TopicName = aws_sns_topic.s3_notifications.name }
        period      = 3600, periods = var.no_data_hours, comparison = "LessThanThreshold", threshold = 1
        missing     = "breaching"
      }
      pipe-errors = {
        description = "Snowpipe could not load a file; the message on ${aws_sns_topic.pipe_errors.name} names it."
        namespace   = "AWS/SNS", metric = "NumberOfMessagesPublished", statistic = "Sum"
        dimensions  = { TopicName = aws_sns_topic.pipe_errors.name }
        period      = 300, periods = 1, comparison = "GreaterThanThreshold", threshold = 0
        missing     = "notBreaching"
      }
    },
    var.queue_age_minutes == 0 ? {} : {
      queue-age = {
        description = "The oldest notice waits longer than ${var.queue_age_minutes} minutes: its reader is gone."
        namespace   = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage", statistic = "Maximum"
        dimensions  = { QueueName = aws_sqs_queue.snowpipe_queue.name }
        period      = 300, periods = 3, comparison = "GreaterThanThreshold", threshold = 60 * var.queue_age_minutes
        missing     = "notBreaching"
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "retail" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alerts.arn]
  ok_actions          = [aws_sns_topic.alerts.arn]
}

resource "aws_sns_topic" "alerts" {
  name              = "${var.name}-alerts"
  display_name      = "Alerts of ${var.name}"
  kms_master_key_id = aws_kms_key.retail.arn
}

resource "aws_sns_topic_policy" "alerts" {
  arn    = aws_sns_topic.alerts.arn
  policy = data.aws_iam_policy_document.alerts.json
}

data "aws_iam_policy_document" "alerts" {
  statement {
    sid       = "AlarmsPublish"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alerts.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sns_topic_subscription" "alerts" {
  for_each = toset(compact([var.alert_email]))

  topic_arn = aws_sns_topic.alerts.arn
  protocol  = "email"
  endpoint  = each.key
}

# Glue has no metric for runs that failed, but EventBridge hears of each; the rule keeps what it heard, and
# its own metric is what the alarm looks at.
resource "aws_cloudwatch_event_rule" "job_failures" {
  name        = "${var.name}-job-failures"
  description = "Runs of ${local.job_name} that failed"

  event_pattern = jsonencode({
    source      = ["aws.glue"]
    detail-type = ["Glue Job State Change"]
    detail      = { jobName = [local.job_name], state = ["FAILED", "TIMEOUT", "ERROR"] }
  })
}

resource "aws_cloudwatch_event_target" "job_failures" {
  rule = aws_cloudwatch_event_rule.job_failures.name
  arn  = aws_cloudwatch_log_group.job_failures.arn
}

resource "aws_cloudwatch_log_group" "job_failures" {
  #checkov:skip=CKV_AWS_338:How long is the owner's choice (log_days, 90 by default).
  name              = local.failure_log
  retention_in_days = var.log_days
  kms_key_id        = aws_kms_key.retail.arn
}

resource "aws_cloudwatch_log_resource_policy" "job_failures" {
  policy_name     = "${var.name}-job-failures"
  policy_document = data.aws_iam_policy_document.job_failures.json
}

# EventBridge creates the stream without naming a rule; only what it writes comes from one. So the condition
# stands on PutLogEvents alone, as in the example "CloudWatch Log Group Usage" of the provider's
# aws_cloudwatch_event_target.
data "aws_iam_policy_document" "job_failures" {
  statement {
    sid       = "EventBridgeCreatesStreams"
    actions   = ["logs:CreateLogStream"]
    resources = ["${aws_cloudwatch_log_group.job_failures.arn}:*"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com", "delivery.logs.amazonaws.com"]
    }
  }

  statement {
    sid       = "RuleWrites"
    actions   = ["logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.job_failures.arn}:*:*"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com", "delivery.logs.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_cloudwatch_event_rule.job_failures.arn]
    }
  }
}

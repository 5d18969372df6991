{{ sales_lines(ref('silver')) }}
